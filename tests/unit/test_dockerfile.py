"""The Dockerfile of our own server, without Docker: what it installs is enough, and what it starts answers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# Runs a module where only the given distributions are installed: others cannot be imported.
ONLY = """
import json, runpy, sys
from importlib import metadata
allowed = set(json.loads(sys.argv[1]))
of = metadata.packages_distributions()
class Refuse:
    def find_spec(self, name, path=None, target=None):
        names = {n.lower().replace("_", "-") for n in of.get(name.partition(".")[0], ())}
        if names and not names & allowed and name.partition(".")[0] not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not installed there", name=name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def installed(name: str, extra: str = "") -> set[str]:
    """A distribution and all that pip brings with it."""
    found = {name.lower().replace("_", "-")}
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            of = requirement.name.lower().replace("_", "-")
            for more in requirement.extras or {""}:
                found |= installed(of, more) if (of, more) != (name, extra) else set()
    return found


def test_what_it_installs_is_enough(tiny_model: Path) -> None:
    """Its very command answers /ping and /invocations with nothing importable but what it installs."""
    (target,) = re.findall(r"--constraint /src/constraints.txt '/src(.*?)'", DOCKERFILE)
    assert target == "[serve]"
    (line,) = re.findall(r"exec python -m (.*?)\\n'", DOCKERFILE)
    command = shlex.split(line)
    assert command == ["scones_ml.inference", "/opt/ml/model", "--host", "0.0.0.0", "--port", "8080"]
    here = {"/opt/ml/model": str(tiny_model), "0.0.0.0": "127.0.0.1", "8080": "0"}
    allowed = json.dumps(sorted(installed("scones-ml", "serve")))
    arguments = [sys.executable, "-c", ONLY, allowed, *(here.get(part, part) for part in command)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}"
            while True:
                try:
                    urllib.request.urlopen(f"{url}/ping", timeout=5).close()
                    break
                except urllib.error.HTTPError as exc:
                    exc.close()
                    assert exc.code == 503
            png = (ROOT / "docs" / "report.png").read_bytes()
            request = urllib.request.Request(f"{url}/invocations", png, {"Content-Type": "image/png"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert sum(json.loads(answer.read())) > 0.999
        finally:
            server.terminate()


def test_the_build_sees_what_it_needs() -> None:
    """Whatever the wheel is built from passes .dockerignore, and nothing of a workspace or an environment does."""
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    assert seen == needed
