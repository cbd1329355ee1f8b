"""Checks of this machine, of existing resources and of AWS's limits.

Checks of one place are in its backend's ``checks``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from scones_ml import asl, lifecycle, settings, workflows
from scones_ml.errors import SconesError
from scones_ml.events.readers import is_image_key
from scones_ml.limits import (
    DEFINITION_BYTES,
    ENDPOINT_REQUEST_BYTES,
    S3_KEY_BYTES,
    SERVERLESS_REQUEST_BYTES,
    STATE_BYTES,
)
from scones_ml.plans import Resource
from scones_ml.ports import Backend, Check, LeftAlone

__all__ = ["examine", "limits", "machine", "resources"]

_GIGABYTE: Final = 1_000_000_000  # decimal, as for disks
_EXTRAS: Final = ("asl", "aws", "cli", "lambda", "onnx", "pretrained", "report", "serve", "train")
_RECIPES: Final = {"head": "pretrained", "scratch": "train"}  # by required extra
_BASE64: Final = 4 / 3  # four characters for three bytes


def _requirements() -> Sequence[str]:
    return importlib.metadata.requires("scones-ml") or ()


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def examine(backend: Backend, workspace: Path, images: Path | None, now: datetime) -> Iterator[Check]:
    """Run all checks and yield their findings; a check that fails is an error, and the others continue.

    Args:
        backend: backend of the place to check.
        workspace: the workspace's folder.
        images: a folder of images to check against the limits; None for none.
        now: current time, with its time zone.
    """
    yield from machine(workspace)
    yield from limits(settings.image_policy(), images)
    try:
        yield from resources(backend, now)
    except SconesError as exc:
        yield Check("resources", "error", str(exc))
    yield from backend.checks()


def machine(
    workspace: Path,
    requirements: Callable[[], Sequence[str]] = _requirements,
    free_bytes: Callable[[Path], int] = _free_bytes,
) -> Iterator[Check]:
    """Check Python, the extras and the recipes that they support, and free disk space.

    Args:
        workspace: the workspace's folder.
        requirements: requirements in the package's metadata: ``boto3>=1.35; extra == 'aws'``.
        free_bytes: returns the free space on the disk of a folder.
    """
    yield Check("Python", "ok", platform.python_version())
    required = requirements()
    missing = [extra for extra in _EXTRAS if not _installed(extra, required)]
    there = ", ".join(extra for extra in _EXTRAS if extra not in missing)
    yield Check("extras", "ok", there)
    yield _recipes([recipe for recipe, extra in _RECIPES.items() if extra not in missing])
    for extra in missing:
        yield Check(f"extra {extra}", "warning", "not installed", f"pip install 'scones-ml[{extra}]' if you need it")
    folder = next(parent for parent in (workspace.absolute(), *workspace.absolute().parents) if parent.exists())
    if not os.access(folder, os.W_OK):
        yield Check("workspace", "error", f"{folder} cannot be written to", "choose another one with --workspace")
        return
    free = free_bytes(folder)
    found = f"{free / _GIGABYTE:,.1f} GB free in {folder}"
    if free < 2 * _GIGABYTE:
        yield Check("disk", "error" if free < _GIGABYTE / 5 else "warning", found, "free some space")
    else:
        yield Check("disk", "ok", found)


def _recipes(installed: Sequence[str]) -> Check:
    if installed:
        return Check("recipes", "ok", f"scones train --recipe {' or '.join(installed)}")
    return Check("recipes", "warning", "none: training is not possible here", "pip install 'scones-ml[pretrained]'")


def resources(backend: Backend, now: datetime) -> Iterator[Check]:
    """Check for resources past their time to live, or left unfinished by a killed command."""
    alone: list[LeftAlone] = []
    found = lifecycle.resources(backend, leave=alone.append)
    for unseen in alone:
        yield Check(f"{unseen.kind} {unseen.name}", "error", unseen.reason)
    for one in found:
        remedy = f"scones cleanup --run {one.run}{_on(backend)}"
        if one.expires and one.expires <= now:
            past = f"expired since {one.expires:%Y-%m-%d %H:%M} UTC"
            yield Check(f"{one.kind} {one.name}", "warning" if one.dollars_per_hour == 0 else "error", past, remedy)
        elif one.state != "created":
            word = {"creating": "begun and not finished", "deleting": "only half deleted"}[one.state]
            yield Check(f"{one.kind} {one.name}", "warning", f"{word}, {one.since:%Y-%m-%d %H:%M} UTC", remedy)
    yield Check("resources", "ok", _counted(found))


def limits(policy: settings.ImagePolicy, images: Path | None) -> Iterator[Check]:
    """Check AWS's limits against our definitions, the image policy and, if given, images.

    Args:
        policy: the image policy.
        images: a folder of images; None for none.
    """
    largest = int((3 * policy.image_size + 1) * policy.image_size * 1.001 + 200)  # as noise, which PNG cannot compress
    payload = int(largest * _BASE64) + 2 * S3_KEY_BYTES
    remedy = "set SCONES_IMAGE_SIZE to the model's size, 224 at most"
    yield _limit("an image between states", payload, STATE_BYTES, remedy)
    yield _limit("an image to an endpoint", largest, ENDPOINT_REQUEST_BYTES, remedy)
    yield _limit("an image to a serverless endpoint", largest, SERVERLESS_REQUEST_BYTES, remedy)
    for name, make in workflows.WORKFLOWS.items():
        definition = make()
        yield _limit(f"definition {name}", len(json.dumps(definition.to_json())), DEFINITION_BYTES, "make it smaller")
        for batch in _batches(definition):
            size = batch * (S3_KEY_BYTES + 128)  # the longest key, its etag and the surrounding JSON
            yield _limit(f"a batch of {name}, {batch} keys", size, STATE_BYTES, "make batches smaller")
    if images is not None:
        yield _images(images, policy)


def _limit(name: str, size: int, most: int, remedy: str) -> Check:
    found = f"{size:,} of {most:,} bytes at most"
    return Check(name, "ok", found) if size <= most else Check(name, "error", found, remedy)


def _batches(definition: asl.StateMachine) -> Iterator[int]:
    for state in definition.states.values():
        if isinstance(state, asl.Map) and state.item_batcher:
            most = state.item_batcher.max_items_per_batch
            if isinstance(most, int):
                yield most


def _images(folder: Path, policy: settings.ImagePolicy) -> Check:
    if not folder.is_dir():
        return Check("images", "error", f"there is no folder {folder}", "name a folder of images")
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file() and is_image_key(path.name)}
    large = [path for path, size in sizes.items() if size > policy.max_bytes]
    long = [path for path in sizes if len(path.relative_to(folder).as_posix().encode()) > S3_KEY_BYTES]
    if large or long:
        return Check(
            "images",
            "warning",
            f"{len(large)} of {len(sizes):,} are larger than {policy.max_bytes:,} bytes, "
            f"{len(long)} have names too long for S3; the first is {(large + long)[0]}",
            "reduce or rename them, or raise SCONES_MAX_IMAGE_BYTES: otherwise they are quarantined",
        )
    biggest = max(sizes.values(), default=0)
    return Check("images", "ok", f"{len(sizes):,}, the largest has {biggest:,} of {policy.max_bytes:,} bytes")


def _installed(extra: str, requirements: Sequence[str]) -> bool:
    """Whether every distribution of an extra is installed, in any version."""
    named = [
        match[1]
        for line in requirements
        if (match := re.match(r"([A-Za-z0-9._-]+)", line)) and re.search(rf"extra == ['\"]{extra}['\"]", line)
    ]
    try:
        for name in named:
            if name != "scones-ml":  # an extra that combines others refers to scones-ml itself
                importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _counted(found: Sequence[Resource]) -> str:
    return f"{len(found)} on record, all existing" if found else "none"


def _on(backend: Backend) -> str:
    return "" if backend.place_name == "local" else " --on aws"
