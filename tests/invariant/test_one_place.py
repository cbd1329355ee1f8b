"""Every object version ends in exactly one place, whatever happens on the way.

An object version is named by bucket, key and its version id, or its etag where the bucket gives no version ids. In a
scenario objects are uploaded, overwritten and deleted; their events come late, repeatedly and in any order; calls are
throttled, or their answers are lost; executions break off between any two steps and are redriven, one amid another.
When all deliveries, redeliveries and redrives are done, the following holds.

1. Every execution has succeeded, and so has the bulk run: nothing waits for somebody.
2. A version that is still there, and that an event told of, has an outcome; so has every version with which an
   execution has ended otherwise than dropped.
3. A version has one outcome object, in the place where its own bytes belong, under its image_id; and there is none of
   anything that is no version. Where somebody runs it with another threshold, too, there may be one of each on AWS,
   which the world here is like, and the later one is that of the later run; on this machine one is left, see
   ``test_side_by_side.py``.
4. Executions of one version end alike: an execution ends as dropped only if its object was gone and no outcome had been
   written when it began to look for one. So a duplicate that comes after the outcome ends with it, although the object
   was overwritten or deleted meanwhile. One exception would cost a lock for each image: an execution that has read the
   object in time, and writes its outcome after another one has looked and dropped it. The outcome stands.
5. A bulk run has a line for every object that is there; lines of the same bytes under one key are alike.

An event that names neither version nor etag, and one with the etag alone on a bucket with versions, tells of what is
there when it is read; nothing is said of its end once that is gone.
"""

from __future__ import annotations

import os

import pytest
from actions import Bulk, Delete, Deliver, Fault, Rerun, Run, Scenario, Upload
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from rules import check
from scenarios import scenario
from world import World

SEED = int(os.environ.get("SCONES_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))


def play(played: Scenario) -> World:
    """What is left of a scenario when the dust has settled."""
    world = World(played.versioning)
    for action in played.actions:
        world.happen(action)
    world.settle()
    check(world)
    return world


def try_many(scenarios: int, length: int, part: int = 0) -> None:
    """Play so many, each out of so many bytes; a failure shows the smallest that fails, and how to play it again."""

    @seed(SEED + part)
    @settings(max_examples=scenarios, print_blob=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=length, max_size=length))
    def one(drawn: bytes) -> None:
        played = scenario(drawn)
        try:
            play(played)
        except AssertionError:
            note(f"{played!r}; all of them again: SCONES_TEST_SEED={SEED}")
            raise

    print(f"{scenarios} scenarios of seed {SEED} + {part}")
    one()


def test_every_version_ends_in_one_place() -> None:
    """The invariant holds in 2,000 random scenarios of four actions or so; the seed is printed."""
    try_many(2_000, length=24)


@pytest.mark.reliability
@pytest.mark.parametrize("part", range(8))
def test_every_version_ends_in_one_place_at_length(part: int) -> None:
    """The invariant holds in 8 times 6,250 random scenarios of seven actions or so; the seeds are printed."""
    try_many(6_250, length=40, part=part)


def ends(world: World) -> list[str]:
    return [execution.outcome for execution in world.executions]


BREAK_BEFORE_CLASSIFY = (Fault(2, "before"),)  # calls 0 and 1: SerializeImageData and its GetObject
LATE = Upload(0, "doubtful", "rule")


def directly(*arrived: int, faults: tuple[Fault, ...] = ()) -> Deliver:
    """EventBridge starts an execution for each event, also for one that comes twice."""
    return Deliver(arrived, faults, queued=False)


@pytest.mark.parametrize("gone", [Delete(0), Upload(0, "broken", "rule")], ids=["deleted", "overwritten"])
def test_a_duplicate_that_comes_late_ends_as_the_first(gone: Delete | Upload) -> None:
    """An event that comes again after its object was deleted or overwritten ends with the outcome that is there."""
    world = play(Scenario("never", (LATE, directly(0), gone, directly(0))))
    assert ends(world)[:2] == ["review", "review"]


def test_an_object_without_an_outcome_is_dropped_by_all() -> None:
    """Where no execution could read the object, all of them end as dropped, and nothing is written."""
    world = play(Scenario("never", (LATE, Delete(0), directly(0, 0))))
    assert ends(world) == ["dropped", "dropped"]
    assert world.results.listing() == []


def test_an_execution_that_has_read_in_time_decides() -> None:
    """What was read before it went is classified, although a duplicate was dropped while the execution lay there."""
    world = play(Scenario("never", (LATE, directly(0, faults=BREAK_BEFORE_CLASSIFY), Delete(0), directly(0), Run(0))))
    assert ends(world) == ["review", "dropped"]
    assert [key.split("/")[1] for key in world.results.listing()] == ["review"]


@pytest.mark.parametrize("shape", ["notification", "rule", "etag", "bare"])
def test_the_same_bytes_that_come_back_are_not_lost(shape: str) -> None:
    """An image that was deleted before it could be read, and uploaded again, is classified: its etag is no news."""
    upload = Upload(0, "confident", shape)  # type: ignore[arg-type]
    world = play(Scenario("never", (upload, Delete(0), Deliver((0,)), upload, Deliver((1,)))))
    assert ends(world) == ["dropped", "accepted"]


def test_events_that_name_no_version_start_each_time() -> None:
    """An object that is overwritten is read again, though its events differ in nothing."""
    first, second = Upload(0, "confident", "bare"), Upload(0, "doubtful", "bare")
    assert ends(play(Scenario("never", (first, Deliver((0,)), second, Deliver((1,)))))) == ["accepted", "review"]


def test_copies_of_a_notification_start_one_execution() -> None:
    """S3's own events are known by their sequencer or version: a duplicate starts nothing."""
    for versioning in ("never", "enabled", "suspended"):
        upload = Upload(0, "confident")
        assert ends(play(Scenario(versioning, (upload, Deliver((0, 0)), Deliver((0,)))))) == ["accepted"]


def test_where_versioning_is_suspended_the_etag_tells_versions_apart() -> None:
    """All objects of such a bucket have the version id "null": each still has an outcome of its own."""
    actions = (Upload(0, "confident"), Deliver((0,)), Upload(0, "doubtful"), Deliver((1,)))
    world = play(Scenario("suspended", actions))
    assert sorted(key.split("/")[1] for key in world.results.listing()) == ["accepted", "review"]


def test_bulk_and_events_name_an_image_alike() -> None:
    """A listing tells no version id: the batch's line has that of the version that was read."""
    play(Scenario("enabled", (Upload(0, "confident"), Upload(0, "broken"), Deliver((0, 1)), Bulk())))


def test_an_image_that_a_batch_dropped_may_come_back() -> None:
    """What was replaced under a batch, and is there again, is classified by the next run."""
    listed, replaced = Upload(0, "doubtful"), Upload(0, "confident")
    play(Scenario("never", (listed, Bulk((Fault(1, "meanwhile", meanwhile=replaced),)), listed, Bulk())))


def test_another_threshold_wins_by_its_time() -> None:
    """Of two outcomes of one version the one that was written later is the last run's, in whatever order they came."""
    world = play(Scenario("never", (LATE, Deliver((0,)), Rerun(0, 1))))
    assert ends(world) == ["review", "accepted"]
