"""Parallel and Map: branches side by side, readers, batches, writers, tolerance."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from scones_ml import asl

ARN = "arn:aws:states:::lambda:invoke"
GET, LIST, PUT = (f"arn:aws:states:::s3:{action}" for action in ("getObject", "listObjectsV2", "putObject"))
PASS = {"StartAt": "Item", "States": {"Item": {"Type": "Pass", "End": True}}}
WORK = {"StartAt": "Item", "States": {"Item": {"Type": "Task", "Resource": ARN, "End": True}}}
INLINE = {"Mode": "INLINE"}
DISTRIBUTED = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}


def run(state: Mapping[str, object], document: asl.Json, **options: object) -> asl.Execution:
    options.setdefault("resources", {})
    options.setdefault("sleep", lambda seconds: None)
    machine = {"StartAt": "Branches", "States": {"Branches": {"End": True, **state}}}
    return asl.run(machine, document, **options)


def each(processor: Mapping[str, object], config: Mapping[str, str] = INLINE, **fields: object) -> dict[str, object]:
    return {"Type": "Map", "ItemProcessor": {"ProcessorConfig": config, **processor}, **fields}


class Bucket:
    """S3 in a dictionary."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = {key.replace("__", "."): body for key, body in objects.items()}

    def resources(self, **more: Callable[[asl.Json], object]) -> dict[str, Callable[[asl.Json], object]]:
        return {
            GET: lambda request: {"Body": self.objects[request["Key"]]},
            LIST: self.list,
            PUT: self.put,
            ARN: lambda parameters: parameters,
            **more,
        }

    def list(self, request: asl.Json) -> asl.Json:
        keys = sorted(key for key in self.objects if key > request.get("ContinuationToken", ""))
        page = {"Contents": [{"Key": key, "Size": len(self.objects[key]), "ETag": "e"} for key in keys[:2]]}
        return {**page, "NextContinuationToken": keys[1]} if len(keys) > 2 else page

    def put(self, request: asl.Json) -> asl.Json:
        self.objects[request["Key"]] = request["Body"].encode()
        return {}


def test_items_keep_their_order_whatever_finishes_first() -> None:
    """The outputs are in the order of the items, though later items end earlier."""

    def work(item: asl.Json) -> asl.Json:
        time.sleep(0.02 if item["n"] == 0 else 0)
        return item["n"]

    assert run(each(WORK), [{"n": n} for n in range(8)], resources={ARN: work}).output == list(range(8))


@pytest.mark.parametrize(("fields", "workers", "most"), [({}, 4, 4), ({"MaxConcurrency": 2}, 40, 2), ({}, 1, 1)])
def test_no_more_items_run_at_once_than_allowed(fields: dict[str, int], workers: int, most: int) -> None:
    """MaxConcurrency and max_workers bound how many tasks are under way, and that many really are."""
    under_way, seen, lock = [0], [0], threading.Lock()
    together = threading.Barrier(most)

    def work(item: asl.Json) -> asl.Json:
        with lock:
            under_way[0] += 1
            seen[0] = max(seen[0], under_way[0])
        together.wait(5)
        with lock:
            under_way[0] -= 1
        return None

    assert run(each(WORK, **fields), [{}] * 8, resources={ARN: work}, max_workers=workers).status == "SUCCEEDED"
    assert seen[0] == most


def test_one_worker_gives_the_same_history_every_time() -> None:
    """With max_workers=1 two runs of a Map and a Parallel state have equal events in equal order."""
    parallel = {
        "Type": "Parallel",
        "Branches": [WORK, {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": True}}}],
    }
    for state in (each(WORK), parallel):
        runs = [run(state, [{}, {}], resources={ARN: lambda p: 1}, max_workers=1) for _ in range(2)]
        assert [e.type for e in runs[0].history] == [e.type for e in runs[1].history]


def test_the_first_failure_ends_the_state_at_once() -> None:
    """A failing branch fails its Parallel state without waiting for a busy sibling, whose later events are dropped."""
    release = threading.Event()

    def slow(parameters: asl.Json) -> asl.Json:
        release.wait(10)
        return None

    branches = [
        {"StartAt": "Slow", "States": {"Slow": {"Type": "Task", "Resource": ARN, "End": True}}},
        {"StartAt": "Bad", "States": {"Bad": {"Type": "Fail", "Error": "Oops", "Cause": "why"}}},
    ]
    begun = time.monotonic()
    execution = run({"Type": "Parallel", "Branches": branches}, {}, resources={ARN: slow})
    assert time.monotonic() - begun < 5
    assert (execution.error, execution.cause) == ("Oops", "why")
    events = len(execution.history)
    release.set()
    time.sleep(0.02)
    assert len(execution.history) == events


def test_waiting_branches_are_woken_when_a_sibling_fails() -> None:
    """A real wait of a minute ends when its branch is cancelled, and no thread is left."""
    before = set(threading.enumerate())
    branches = [
        {"StartAt": "Long", "States": {"Long": {"Type": "Wait", "Seconds": 60, "End": True}}},
        {"StartAt": "Bad", "States": {"Bad": {"Type": "Fail", "Error": "Oops"}}},
    ]
    execution = run({"Type": "Parallel", "Branches": branches}, {}, sleep=time.sleep)
    assert execution.error == "Oops"
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_an_exception_that_is_no_task_s_reaches_the_caller() -> None:
    """A missing function inside a branch is the caller's mistake, not an error of the machine."""
    from scones_ml.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        run(each(WORK), [{}, {}])


def test_a_map_is_retried_and_caught_as_a_whole() -> None:
    """Retry runs all items again; Catch goes on with the item's error."""
    calls: list[object] = []

    def work(item: asl.Json) -> asl.Json:
        calls.append(item)
        raise asl.TaskFailed("Oops", "why")

    state = each(WORK, Retry=[{"ErrorEquals": ["Oops"], "MaxAttempts": 2}])
    assert run(state, [1], resources={ARN: lambda p: work(p)}).error == "Oops"
    assert len(calls) == 3


def test_the_context_object_knows_the_item() -> None:
    """ItemSelector and the states of an inline iteration see $$.Map.Item."""
    selector = {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "all.$": "$.items"}
    inner = {
        "StartAt": "I",
        "States": {"I": {"Type": "Pass", "Parameters": {"in.$": "$", "i.$": "$$.Map.Item.Index"}, "End": True}},
    }
    execution = run(each(inner, ItemsPath="$.items", ItemSelector=selector), {"items": ["a", "b"]})
    assert execution.output == [{"in": {"i": i, "v": v, "all": ["a", "b"]}, "i": i} for i, v in enumerate("ab")]


@pytest.mark.parametrize(
    ("config", "body", "items"),
    [
        ({"InputType": "JSON"}, b'[1, {"a": 2}]', [1, {"a": 2}]),
        ({"InputType": "JSON", "MaxItems": 1}, b"[1, 2]", [1]),
        ({"InputType": "JSON", "ItemsPointer": "/a/b"}, b'{"a": {"b": [7]}}', [7]),
        ({"InputType": "JSONL"}, b'{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ({"InputType": "JSONL"}, '\ufeff{"a": "\u2028\x85"}\r\n{"a": 2}'.encode(), [{"a": "\u2028\x85"}, {"a": 2}]),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
            b'\xef\xbb\xbfa,b\r\n1,"x, y"\r\n2\r\n',
            [{"a": "1", "b": "x, y"}, {"a": "2", "b": ""}],
        ),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a", "b"], "CSVDelimiter": "PIPE"},
            b"1|2\n",
            [{"a": "1", "b": "2"}],
        ),
    ],
)
def test_a_reader_finds_its_items(config: dict[str, object], body: bytes, items: list[object]) -> None:
    """JSON, JSON Lines and CSV objects become items, as ReaderConfig says."""
    reader = {"Resource": GET, "ReaderConfig": config, "Parameters": {"Bucket": "b", "Key.$": "$.key"}}
    execution = run(each(PASS, DISTRIBUTED, ItemReader=reader), {"key": "f"}, resources=Bucket(f=body).resources())
    assert execution.output == items


@pytest.mark.parametrize(
    ("config", "body", "cause"),
    [
        ({"InputType": "JSON"}, b'{"a": 1}', "non-iterable"),
        ({"InputType": "JSON"}, b"{", "cannot be read as JSON"),
        ({"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}, b"a,a\n1,2\n", "duplicates"),
        ({"InputType": "JSON", "MaxItemsPath": "$.most"}, b"[]", "must be positive"),
    ],
)
def test_an_unreadable_object_fails_the_run(config: dict[str, object], body: bytes, cause: str) -> None:
    """What cannot be read is States.ItemReaderFailed, which can be caught."""
    reader = {"Resource": GET, "ReaderConfig": config, "Parameters": {"Bucket": "b", "Key": "f"}}
    execution = run(each(PASS, DISTRIBUTED, ItemReader=reader), {"most": -1}, resources=Bucket(f=body).resources())
    assert execution.error == "States.ItemReaderFailed"
    assert cause in str(execution.cause)
    assert [event.type for event in execution.history][-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


def test_a_listing_is_read_page_by_page() -> None:
    """listObjectsV2 is asked until its last page; each object is an item."""
    bucket = Bucket(a=b"1", b=b"22", c=b"333", d=b"4", e=b"5")
    reader = {"Resource": LIST, "Parameters": {"Bucket": "b", "Prefix": ""}}
    execution = run(each(PASS, DISTRIBUTED, ItemReader=reader), {}, resources=bucket.resources())
    assert [item["Key"] for item in execution.output] == ["a", "b", "c", "d", "e"]
    assert execution.output[1] == {"Key": "b", "Size": 2, "Etag": "e"}


def test_listed_objects_can_be_loaded() -> None:
    """LOAD_AND_FLATTEN makes one list of what is inside the listed objects."""
    bucket = Bucket(a=b"[1, 2]", b=b"[3]")
    reader = {
        "Resource": LIST,
        "ReaderConfig": {"InputType": "JSON", "Transformation": "LOAD_AND_FLATTEN"},
        "Parameters": {"Bucket": "b"},
    }
    assert run(each(PASS, DISTRIBUTED, ItemReader=reader), {}, resources=bucket.resources()).output == [1, 2, 3]


@pytest.mark.parametrize(
    ("batcher", "batches"),
    [
        ({"MaxItemsPerBatch": 2}, [[1, 2], [3, 4], [5]]),
        ({"MaxItemsPerBatchPath": "$.size"}, [[1, 2, 3], [4, 5]]),
        ({"MaxInputBytesPerBatch": 36, "MaxItemsPerBatch": 99}, [[1, 2], [3, 4], [5]]),
    ],
)
def test_items_are_batched(batcher: dict[str, object], batches: list[list[int]]) -> None:
    """Batches are filled by number or by bytes, and each carries the batch's input."""
    state = each(PASS, DISTRIBUTED, ItemsPath="$.items", ItemBatcher={**batcher, "BatchInput": {"k.$": "$.k"}})
    execution = run(state, {"items": [1, 2, 3, 4, 5], "size": 3, "k": 0})
    assert [item["Items"] for item in execution.output] == batches
    assert all(item["BatchInput"] == {"k": 0} for item in execution.output)
    if "MaxInputBytesPerBatch" in batcher:
        assert all(len(json.dumps(item, separators=(",", ":"))) <= 36 for item in execution.output)


@pytest.mark.parametrize(
    ("fields", "failing", "status"),
    [
        ({}, 1, "FAILED"),
        ({"ToleratedFailureCount": 2}, 2, "SUCCEEDED"),
        ({"ToleratedFailureCount": 2}, 3, "FAILED"),
        ({"ToleratedFailurePercentage": 30}, 3, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 30}, 4, "FAILED"),
        ({"ToleratedFailureCountPath": "$.most"}, 2, "SUCCEEDED"),
    ],
)
def test_failures_are_tolerated_up_to_a_limit(fields: dict[str, object], failing: int, status: str) -> None:
    """A distributed Map fails once more items failed than its count or percentage allows."""

    def work(item: asl.Json) -> asl.Json:
        if item["n"] < failing:
            raise ValueError("bad item")
        return item["n"]

    document = {"items": [{"n": n} for n in range(10)], "most": 2}
    execution = run(each(WORK, DISTRIBUTED, ItemsPath="$.items", **fields), document, resources={ARN: work})
    assert execution.status == status
    if status == "FAILED":
        assert execution.error == "States.ExceedToleratedFailureThreshold"
    else:
        assert execution.output == list(range(failing, 10))


def test_results_are_written_with_a_manifest() -> None:
    """A ResultWriter leaves what succeeded, what failed and a manifest of both, and passes on where."""

    def work(item: asl.Json) -> asl.Json:
        if item["n"] == 1:
            raise ValueError("bad item")
        return {"out": item["n"]}

    bucket = Bucket()
    writer = {"Resource": PUT, "Parameters": {"Bucket": "results", "Prefix": "jobs"}}
    state = each(WORK, DISTRIBUTED, ResultWriter=writer, ToleratedFailureCount=1, Label="Label")
    execution = run(state, [{"n": n} for n in range(3)], resources=bucket.resources(**{ARN: work}))
    details = execution.output["ResultWriterDetails"]
    assert details["Bucket"] == "results"
    manifest = json.loads(bucket.objects[details["Key"]])
    assert manifest["MapRunArn"] == execution.output["MapRunArn"]
    assert "/Label:" in manifest["MapRunArn"]
    files = manifest["ResultFiles"]
    succeeded = json.loads(bucket.objects[files["SUCCEEDED"][0]["Key"]])
    failed = json.loads(bucket.objects[files["FAILED"][0]["Key"]])
    assert [json.loads(record["Output"]) for record in succeeded] == [{"out": 0}, {"out": 2}]
    assert [record["Status"] for record in succeeded + failed] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert failed[0]["Error"] == "ValueError"
    assert files["PENDING"] == []
    assert all(file["Size"] == len(bucket.objects[file["Key"]]) for kind in files.values() for file in kind)


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({"Transformation": "COMPACT", "OutputType": "JSON"}, [[1, 2], [3]]),
        ({"Transformation": "FLATTEN", "OutputType": "JSON"}, [1, 2, 3]),
    ],
)
def test_results_can_be_transformed_without_being_written(config: dict[str, str], output: object) -> None:
    """A ResultWriter without a destination shapes what the Map passes on."""
    state = each(PASS, DISTRIBUTED, ResultWriter={"WriterConfig": config})
    assert run(state, [[1, 2], [3]]).output == output


def test_an_object_s_members_are_items_of_a_distributed_map() -> None:
    """Over an object a distributed Map runs once for each member, as key and value."""
    assert run(each(PASS, DISTRIBUTED), {"a": 1, "b": 2}).output == [{"Key": "a", "Value": 1}, {"Key": "b", "Value": 2}]


def test_ten_thousand_items_are_quick() -> None:
    """A distributed Map of 10,000 small items takes seconds, not minutes, and keeps its own history short."""
    begun = time.process_time()
    execution = run(each(PASS, DISTRIBUTED), list(range(10_000)))
    assert execution.output == list(range(10_000))
    assert time.process_time() - begun < 10
    assert len(execution.history) < 10
