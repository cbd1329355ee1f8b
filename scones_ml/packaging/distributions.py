"""Files of distributions, from this environment or from wheels for another one."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

from scones_ml.errors import ConfigurationError
from scones_ml.packaging.contents import is_needed
from scones_ml.packaging.plan import Pin
from scones_ml.packaging.target import Target

__all__ = ["installed_files", "unpack_wheels"]


def installed_files(pin: Pin) -> Iterator[tuple[str, bytes]]:
    """The needed files of an installed distribution: path in the package, and bytes."""
    for file in distribution(pin.name).files or ():
        path = file.as_posix()
        if is_needed(path) and not path.endswith(".pyc"):  # compiled again, see build
            yield path, Path(str(file.locate())).read_bytes()


def unpack_wheels(pins: Sequence[Pin], target: Target, downloads: Path) -> Iterator[tuple[Pin, str, bytes]]:
    """Download wheels for a target and read the needed files out of them.

    Args:
        pins: distributions to download, without their dependencies.
        target: the Lambda runtime.
        downloads: an empty folder for the wheels.

    Raises:
        ConfigurationError: pip finds no wheel; the message ends with pip's last line.
    """
    _download(pins, target, downloads)
    wheels = {_normalised(path.name.split("-")[0]): path for path in downloads.glob("*.whl")}
    for pin in pins:
        with zipfile.ZipFile(wheels[_normalised(pin.name)]) as wheel:
            for entry in wheel.infolist():
                path = _installed_path(entry.filename)
                if not entry.is_dir() and path and is_needed(path):
                    yield pin, path, wheel.read(entry)


def _download(pins: Sequence[Pin], target: Target, folder: Path) -> None:
    digits = target.python.replace(".", "")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", target.python]
    command += ["--abi", f"cp{digits}", "--abi", "abi3", "--abi", "none", "--dest", str(folder)]
    command += [word for platform in target.platforms for word in ("--platform", platform)]
    done = subprocess.run([*command, *map(str, pins)], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["ERROR: pip failed"]
        raise ConfigurationError(
            f"no wheels for python {target.python} on {target.architecture}: {lines[-1].removeprefix('ERROR: ')}"
        )


def _installed_path(name: str) -> str:
    """Installed path of a wheel's entry; empty for scripts and the like. It never leaves the folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        return ""
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if len(parts) > 2 and parts[1] in ("platlib", "purelib") else ""
    return "/".join(parts)


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
