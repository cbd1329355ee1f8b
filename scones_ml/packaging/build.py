"""Build of a plan: each distribution is unpacked and compiled once, then copied into each function's package."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from scones_ml.errors import ConfigurationError
from scones_ml.limits import LAMBDA_UNZIPPED_BYTES
from scones_ml.packaging.distributions import installed_files, unpack_wheels
from scones_ml.packaging.plan import FunctionPlan, PackagePlan, Pin
from scones_ml.packaging.target import interpreter
from scones_ml.ports import Progress, no_progress

__all__ = ["Package", "build"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_EPOCH_SECONDS = 315_532_800  # the same, for files: zips of the folder get the same dates
_TASK_ROOT = "/var/task"


@dataclass(frozen=True, slots=True)
class Package:
    """One built package.

    Attributes:
        name: name of the function.
        folder: the folder, for CodeUri.
        archive: the zip.
        zipped_bytes: size of the zip.
        unzipped_bytes: size of the folder.
        sha256: hash of the zip, 64 hex digits.
        compiled: whether it contains bytecode, which halves a cold start.
    """

    name: str
    folder: Path
    archive: Path
    zipped_bytes: int
    unzipped_bytes: int
    sha256: str
    compiled: bool


def build(
    plan: PackagePlan, progress: Progress = no_progress, most_bytes: int = LAMBDA_UNZIPPED_BYTES
) -> tuple[Package, ...]:
    """Build every package; the same plan gives the same bytes.

    Args:
        plan: the plan to build.
        progress: called for each package.
        most_bytes: maximum size of an unzipped package.

    Raises:
        ConfigurationError: a wheel is missing, a folder is not a package of ours, or a package is larger than
            ``most_bytes``.
    """
    built = []
    with tempfile.TemporaryDirectory(prefix="scones-package-") as scratch:
        pool = Path(scratch, "pool")
        files = _unpack(plan, pool, Path(scratch, "wheels"))
        ours = {name: source for function in plan.functions for name, source in function.files}
        for name, source in ours.items():
            _write(pool / name, source.read_bytes())
        compiled = _compile(pool, plan.target.python)
        for number, function in enumerate(plan.functions, 1):
            wanted = [name for pin in function.pins for name in files[pin]] + [name for name, _ in function.files]
            built.append(_package(function, pool, wanted, compiled, most_bytes))
            progress(number, len(plan.functions))
    return tuple(built)


def _unpack(plan: PackagePlan, pool: Path, downloads: Path) -> dict[Pin, list[str]]:
    """Write every distribution's files into one folder, and return the files of each."""
    files: dict[Pin, list[str]] = {pin: [] for pin in plan.pins}
    for pin, path, data in _files(plan, downloads):
        _write(pool / path, data)
        files[pin].append(path)
    return files


def _files(plan: PackagePlan, downloads: Path) -> Iterator[tuple[Pin, str, bytes]]:
    if not plan.installed:
        yield from unpack_wheels(plan.pins, plan.target, downloads)
        return
    for pin in plan.pins:
        for path, data in installed_files(pin):
            yield pin, path, data


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _compile(pool: Path, python: str) -> Callable[[str], str] | None:
    """Compile all sources for the target's interpreter; None when there is none here.

    A separate process, one worker and a fixed hash seed make the bytecode reproducible. It is unchecked, because zips
    do not keep the modification times that bytecode is otherwise checked against.
    """
    path = interpreter(python)
    if path is None:
        return None
    command = [path, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    # Tracebacks show the path on Lambda, and no bytes depend on this machine's paths.
    command += ["-s", str(pool), "-p", _TASK_ROOT, str(pool)]
    # PYTHONOPTIMIZE, PYTHONPYCACHEPREFIX and the like would change the output or its location.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONHASHSEED"] = "0"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigurationError(
            f"python {python} cannot compile the package: {(done.stdout + done.stderr).strip()[:300]}"
        )
    tag = f"cpython-{python.replace('.', '')}"

    def bytecode(name: str) -> str:
        folder, _, file = name.rpartition("/")
        return f"{folder}/__pycache__/{file[:-3]}.{tag}.pyc".lstrip("/")

    return bytecode


def _package(
    function: FunctionPlan,
    pool: Path,
    wanted: Iterable[str],
    bytecode: Callable[[str], str] | None,
    most_bytes: int,
) -> Package:
    names = set(wanted)
    if bytecode is not None:
        names |= {bytecode(name) for name in names if name.endswith(".py")}
    ordered = sorted(names)
    unzipped = sum((pool / name).stat().st_size for name in ordered)
    if unzipped > most_bytes:
        raise ConfigurationError(
            f"{function.name} has {unzipped:,} bytes unzipped, and Lambda takes {most_bytes:,}: leave the model in S3"
        )
    _replace_folder(function, pool, ordered)
    _zip(function, ordered)
    data = function.archive.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return Package(
        function.name, function.folder, function.archive, len(data), unzipped, digest, compiled=bytecode is not None
    )


def _replace_folder(function: FunctionPlan, pool: Path, names: Iterable[str]) -> None:
    folder = function.folder
    if folder.exists():
        if any(folder.iterdir()) and not (folder / f"{function.name}.py").is_file():
            raise ConfigurationError(
                f"{folder} is not a package of {function.name}: remove it, or choose another folder"
            )
        shutil.rmtree(folder)
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pool / name, target)
        target.chmod(0o644)  # Lambda's user has to read it
        os.utime(target, (_EPOCH_SECONDS, _EPOCH_SECONDS))


def _zip(function: FunctionPlan, names: Iterable[str]) -> None:
    """Write a reproducible zip: sorted names, one date, one mode."""
    temporary = function.archive.with_suffix(".tmp")
    with ZipFile(temporary, "w", ZIP_DEFLATED, compresslevel=6) as archive:
        for name in names:
            entry = ZipInfo(name, _EPOCH)
            entry.compress_type = ZIP_DEFLATED
            entry.create_system = 3  # Unix, on any build machine
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, (function.folder / name).read_bytes(), compresslevel=6)
    # Last, so that an existing archive is complete.
    temporary.replace(function.archive)
