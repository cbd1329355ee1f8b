"""Record of an endpoint on this machine, ``NAME.json``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from scones_ml import strict_json
from scones_ml.bounded import read_at_most
from scones_ml.errors import DeploymentError
from scones_ml.formats import FORMAT, newer_format
from scones_ml.ports import Endpoint

__all__ = ["Record", "read_record", "write_record"]

_FIELDS = frozenset(field.name for field in dataclasses.fields(Endpoint))
_LONGEST = 10_000_000  # bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """Record of an endpoint; only the server's lock proves that it runs.

    Attributes:
        pid: process id of its server.
        endpoint: how to reach it.
        is_earlier: whether its server is of 0.1.0, before locks.
    """

    pid: int
    endpoint: Endpoint
    is_earlier: bool


def write_record(path: Path, pid: int, endpoint: Endpoint) -> None:
    """Write an endpoint's record, atomically."""
    half = path.with_suffix(".part")
    document = {"format": FORMAT, "pid": pid, "endpoint": dataclasses.asdict(endpoint)}
    half.write_text(json.dumps(document, indent=2), encoding="utf-8")
    half.replace(path)


def read_record(path: Path) -> Record | None:
    """Read an endpoint's record; None when there is none. Unknown fields are ignored.

    Raises:
        DeploymentError: the record is unreadable or has a newer format.
    """
    try:
        document: Any = strict_json.parse_names(read_at_most(path, _LONGEST))
        refusal = newer_format(str(path), document)
        known = {name: value for name, value in document["endpoint"].items() if name in _FIELDS}
        endpoint = Endpoint(**known | {"labels": tuple(known["labels"])})
        record = Record(int(document["pid"]), endpoint, "format" not in document)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise DeploymentError(f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
        raise _no_record(path) from exc
    if refusal:
        raise DeploymentError(refusal)
    if endpoint.name != path.stem or record.pid <= 0:
        raise _no_record(path)
    return record


def _no_record(path: Path) -> DeploymentError:
    return DeploymentError(f"{path} is not an endpoint's record: repair it or remove it")
