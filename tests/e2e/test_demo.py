"""``scones demo`` as a user runs it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from scones_ml.cli.terminal import StageLines
from scones_ml.lifecycle.demo import DemoRequest, run_demo
from scones_ml.local.backend import LocalBackend

ROOT = Path(__file__).parents[2]
KEYS = ["accuracy", "accuracy_interval", "threshold", "coverage", "outcomes", "seconds", "resources_left"]


def scones(
    *arguments: str, cwd: Path, path: Path | None = None, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; ``path`` goes before the checkout on the import path."""
    code = "import sys; from scones_ml.cli import main; sys.exit(main())"
    start = f"import sys; sys.path.insert(0, {str(path)!r}); " if path else ""
    command = [sys.executable, "-c", start + code, *arguments]
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)


def demo(cwd: Path, *arguments: str) -> dict[str, Any]:
    done = scones("demo", "--json", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the demo that the README shows, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = scones("demo", cwd=folder, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return folder, done.stdout


def test_the_demo_goes_through_every_stage(synthetic: tuple[Path, str]) -> None:
    """Without account, Docker or data: images are drawn, learned, served, judged, and nothing is left."""
    _, printed = synthetic
    outcomes = re.search(r"  run .* s   (\d+) accepted, (\d+) review, 1 quarantined\n", printed)
    assert outcomes
    assert sum(map(int, outcomes.groups())) == 62, "and the truncated file"
    assert re.search(r"  captures .* 62 requests recorded", printed)
    assert re.search(r"  clean up .* 0 resources left\n", printed)
    accuracy, low, high = map(float, re.findall(r"^accuracy +([\d.]+)% +([\d.]+)% to ([\d.]+)%", printed, re.M)[0])
    assert 80 < low < accuracy < high <= 100


def test_the_readme_shows_what_the_demo_prints(synthetic: tuple[Path, str]) -> None:
    """Line for line, but for times, ports and the last digits of figures, which differ between processors."""
    (shown,) = re.findall(r"\$ make demo\n(scones .*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines, printed = shown.replace(".venv/bin/scones", "scones").splitlines(), synthetic[1].splitlines()
    assert [skeleton(line) for line in lines] == [skeleton(line) for line in printed]
    for line, said in zip(lines, printed, strict=True):
        assert figures(line) == pytest.approx(figures(said), rel=0.03, abs=2)


def test_what_the_demo_suggests_works(synthetic: tuple[Path, str]) -> None:
    """The first commands after "next" can be typed as they stand."""
    folder, printed = synthetic
    commands = re.findall(r"^  (scones (?:run|evaluate) .*?)(?:   |$)", printed.partition("\nnext\n")[2], re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        done = scones(*shlex.split(command)[1:], cwd=folder)
        assert done.returncode == 0, done.stderr


def skeleton(line: str) -> str:
    """A line without its numbers, and without the blanks that align them."""
    line = re.sub(r"http://127\.0\.0\.1:\d+", "URL", line)
    return re.sub(r"\d[\d,]*(?:\.\d+)?|\s+", " ", line)


def figures(line: str) -> list[float]:
    """Its numbers, but for times and ports."""
    line = re.sub(r"\d+\.\d s   |http://127\.0\.0\.1:\d+", "", line)
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", line)]


def test_the_demo_leaves_a_self_contained_report(synthetic: tuple[Path, str]) -> None:
    """report.html refers to nothing outside itself and holds the images."""
    folder, _ = synthetic
    page = (folder / ".scones" / "demo" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    assert page.count("data:image/png;base64,") >= 40
    assert "truncated.png" in page


def test_the_same_seed_gives_the_same_document(tmp_path: Path) -> None:
    """Of two small demos with the same seed and threads the documents differ in times alone."""
    documents = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        result = run_demo(LocalBackend(folder), DemoRequest(folder, images=8, per_class=60), StageLines())
        assert set(KEYS) <= set(result.to_json())
        documents.append({name: value for name, value in result.to_json().items() if name != "seconds"})
    assert documents[0] == documents[1]


def test_real_photographs(test_data: Path, tmp_path: Path) -> None:
    """On the 1,200 real photographs the demo is right on at least 92 % of the test images."""
    document = demo(tmp_path, "--data", str(test_data / "cifar100-vehicles"), "--classes", "bicycle,motorcycle")
    assert document["accuracy"] >= 0.92
    assert document["resources_left"] == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_brings_the_handlers(site: Path, tmp_path: Path, tiny_model: Path) -> None:
    """From the built wheel alone, outside the checkout, ``scones run`` finds handlers and definition."""
    assert (site / "scones_ml/testing/events/start_sqs.json").is_file()
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"scones_ml"}
    image = _draw(tmp_path / "a.png")
    done = scones("run", str(image), "--model", str(tiny_model), "--json", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["outcome"] in ("accepted", "review")


def test_the_first_lines_of_the_readme_need_one_extra(site: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Where only the wheel and its extra ``onnx`` are installed, they print what the README says they print."""
    shown, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    shutil.copytree(tiny_model, tmp_path / ".scones" / "demo" / "model")
    _draw(tmp_path / "photo.jpg")
    places = [str(site), str(_only(site, "onnx", tmp_path / "packages"))]
    code = f"import sys; sys.path += {places}\n{shown}\nimport importlib.util; print(importlib.util.find_spec('typer'))"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed, other = done.stdout.splitlines()
    assert other == "None", "packages of other extras are not there"
    form = r"Prediction\(label='(bicycle|motorcycle)', confidence=0\.\d+, accepted=(True|False)\)"
    assert re.fullmatch(form, printed)
    assert re.fullmatch(form, shown.rpartition("# ")[2].strip())


def _only(site: Path, extra: str, folder: Path) -> Path:
    """A folder of links to the installed packages that an extra of the wheel needs."""
    (ours,) = site.glob("*.dist-info")
    folder.mkdir()
    waiting, seen = [(Distribution.at(ours), {extra})], set()
    while waiting:
        package, extras = waiting.pop()
        for requirement in map(Requirement, package.requires or ()):
            wanted = not requirement.marker or any(requirement.marker.evaluate({"extra": one}) for one in extras | {""})
            if wanted and requirement.name not in seen:
                seen.add(requirement.name)
                needed = distribution(requirement.name)
                for top in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
                    (folder / top).symlink_to(Path(str(needed.locate_file(top))))
                waiting.append((needed, set(requirement.extras)))
    return folder


def _draw(path: Path) -> Path:
    from scones_ml.dataset.synthetic import draw_png

    path.write_bytes(draw_png("bicycle", 0, 0))
    return path
