"""What holds of a world in which the dust has settled, see `test_one_place.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from photos import THRESHOLDS, place_of
from world import Execution, World

from scones_ml import events
from scones_ml.events.models import UNDECIDED

Places = Mapping[str, Mapping[str, Any]]
"""Outcomes, by the identity of the version and by their place."""


def check(world: World) -> None:
    """Hold the rules against a world.

    Raises:
        AssertionError: the first one that is broken.
    """
    places = _places(world)
    for identity, found in places.items():
        assert identity in world.contents, f"an outcome of no version: {found}"
        _check_place(world, identity, found)
    _check_nothing_lost(world, places)
    for execution in world.executions:
        _check_end(world, execution, places)
    _check_bulk(world)


def _places(world: World) -> Places:
    found: dict[str, dict[str, Any]] = {}
    for key in world.results.listing():
        if key.startswith("outcomes/"):
            _, place, name = key.split("/")
            found.setdefault(name.removesuffix(".json"), {})[place] = json.loads(world.results.text(key))
    return found


def _check_place(world: World, identity: str, found: Mapping[str, Any]) -> None:
    """One place, the right one; with two thresholds one for each, and the last one is there."""
    last = world.written[identity][-1]
    right = place_of(world.contents[identity], last.threshold)
    assert last.place == right, f"{identity}: {world.contents[identity]} went to {last.place}"
    assert right in found, f"{identity} is in {sorted(found)}, not in {right}"
    thresholds = {written.threshold for written in world.written[identity]}
    assert len(found) <= len(thresholds), f"{identity} is in {sorted(found)}"
    document = found[right]
    assert (document["image_id"], document["outcome"]) == (identity, right)
    assert document.get("label", "broken") == world.contents[identity]


def _check_nothing_lost(world: World, places: Places) -> None:
    """What is there, and was told of, has an outcome; an older version is there for whoever knows its id."""
    for announced in world.announced:
        ref = announced.ref
        there = world.photos.current(ref.s3_key)
        if ref.version_id and announced.shape in ("notification", "rule"):
            there = world.photos.version(ref.s3_key, ref.version_id)
        elif ref.version_id and ref.s3_key in world.uncovered:
            continue
        if there is not None and there.etag == ref.etag and ref.version_id in (None, there.version_id):
            assert ref.image_id in places, f"{announced} has no outcome"


def _check_end(world: World, execution: Execution, places: Places) -> None:
    assert execution.result is not None
    if execution.outcome == "dropped":
        written = world.written.get(events.image_ref(execution.document).image_id)
        assert written is None or written[0].at > execution.looked, (
            f"{execution.name} was dropped in spite of {written}"
        )
        return
    identity = execution.result.output["image_id"]  # type: ignore[index, call-overload]
    assert identity in places, f"{execution.name} ends as {execution.outcome}, and nothing is there"
    thresholds = {written.threshold for written in world.written[identity]}
    assert execution.outcome in {place_of(world.contents[identity], threshold) for threshold in thresholds}


def _check_bulk(world: World) -> None:
    """What is there has a line in the results, and all lines of the same bytes under one key are alike."""
    if world.bulk is None:
        return
    ends: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for key in world.results.listing():
        for text in world.results.text(key).splitlines() if key.startswith("bulk/") else ():
            line = json.loads(text)
            if line["outcome"] not in UNDECIDED:
                ends.setdefault((line["s3_key"], line["etag"]), set()).add((line["image_id"], line["outcome"]))
    for key in world.photos.listing():
        found = world.photos.current(key)
        assert found is not None
        same = [one.ref.image_id for one in world.announced if (one.ref.s3_key, one.ref.etag) == (key, found.etag)]
        right = place_of(world.contents[same[0]], THRESHOLDS[0])
        lines = ends.get((key, found.etag), set())
        assert {outcome for _, outcome in lines} == {right}, f"{key}: {lines}, not {right}"
        assert {identity for identity, _ in lines} <= set(same), f"{key}: {lines}, not of {same}"
