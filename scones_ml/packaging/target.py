"""Target of a package: Python version and processor architecture."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from shutil import which
from typing import Final

from scones_ml.errors import ConfigurationError

__all__ = ["HOST", "Target", "interpreter"]

_MACHINES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
_GLIBC: Final = (34, 28, 27, 26, 24, 17)
"""Minor versions of glibc 2 whose wheels run on Amazon Linux 2023 (2.34)."""


@dataclass(frozen=True, slots=True)
class Target:
    """A Lambda runtime.

    Attributes:
        python: version of the runtime, ``"3.13"``.
        architecture: ``"arm64"`` or ``"x86_64"``.
    """

    python: str = "3.13"
    architecture: str = "x86_64"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d+", self.python):
            raise ConfigurationError(
                f"python {self.python!r} is not the version of a Lambda runtime: give one such as 3.13"
            )
        if self.architecture not in _MACHINES:
            raise ConfigurationError(
                f"architecture {self.architecture!r} is not available on Lambda: choose {' or '.join(_MACHINES)}"
            )

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of wheels for the runtime, best first."""
        machine = _MACHINES[self.architecture]
        return (*(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC), f"manylinux2014_{machine}")


def _host() -> Target | None:
    machine = {value: key for key, value in _MACHINES.items()}.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return None
    return Target(f"{sys.version_info.major}.{sys.version_info.minor}", machine)


HOST: Final = _host()
"""This machine and interpreter as a target; None when no Lambda runtime matches."""


def interpreter(python: str) -> str | None:
    """Path of an interpreter of this version on this machine; None when there is none."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    path = which(f"python{python}")
    if path is None:
        return None
    command = [path, "-c", "import sys; print('{}.{}'.format(*sys.version_info), sys.executable)"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    version, _, executable = found.stdout.strip().partition(" ")
    return executable if version == python else None  # the executable may be a wrapper script
