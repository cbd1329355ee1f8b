"""Runs of the same images side by side on this machine, with different thresholds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from scones_ml.events.models import PLACES
from scones_ml.local.resources import workspace_resources
from scones_ml.local.store import DirectoryObjectStore

PUT = "arn:aws:states:::aws-sdk:s3:putObject"


def places(store: DirectoryObjectStore) -> list[str]:
    return [found.key for found in store.list("results")]


def test_runs_side_by_side_leave_an_image_in_one_place(tmp_path: Path) -> None:
    """Whoever writes last, and whatever the others remove meanwhile, one outcome is left."""

    def run(seed: int) -> None:
        random = Random(seed)
        put = workspace_resources(DirectoryObjectStore(tmp_path), {})[PUT]  # of a process of its own
        for _ in range(25):
            key = f"outcomes/{random.choice(PLACES)}/{random.choice('ab')}.json"
            put({"Bucket": "results", "Key": key, "Body": {}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert sorted(key[-6:] for key in places(DirectoryObjectStore(tmp_path))) == ["a.json", "b.json"]


def test_another_runs_outcome_is_not_removed_before_ours_is_there(tmp_path: Path) -> None:
    """Killed right after its outcome was written, a run leaves both; the next one leaves its own."""

    class Killed(BaseException):
        pass

    class Store(DirectoryObjectStore):
        def delete(self, bucket: str, key: str) -> None:
            raise Killed

    old, new = ({"Bucket": "results", "Key": f"outcomes/{place}/a.json", "Body": {}} for place in PLACES[:2])
    workspace_resources(DirectoryObjectStore(tmp_path), {})[PUT](old)
    with pytest.raises(Killed):
        workspace_resources(Store(tmp_path), {})[PUT](new)
    assert places(DirectoryObjectStore(tmp_path)) == [old["Key"], new["Key"]]
    workspace_resources(DirectoryObjectStore(tmp_path), {})[PUT](new)
    assert places(DirectoryObjectStore(tmp_path)) == [new["Key"]]
