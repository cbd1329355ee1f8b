"""ItemReader: items from S3, as JSON, JSON Lines, CSV, an inventory manifest or a listing.

S3 is the function for ``arn:aws:states:::s3:getObject`` or ``...:listObjectsV2`` in `resources`: it takes the request's
parameters and returns AWS's response, ``{"Body": bytes}`` or ``{"Contents": [...]}``.
An input type is added by one line in `_PARSERS`.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

from scones_ml import strict_json
from scones_ml.asl.failures import RUNTIME, EvaluationFailed, StateFailed
from scones_ml.asl.parts import ItemReader, ReaderConfig
from scones_ml.asl.resources import body_of, call_service
from scones_ml.asl.step import Step
from scones_ml.asl.values import UNSET, Json, plain
from scones_ml.limits import MAP_ITEMS

__all__ = ["Item", "described", "numbered", "read_items"]

Item: TypeAlias = Mapping[str, Json]
"""The context object's ``Map.Item``: Index, Value, Source and, for a member of an object, Key."""

_FAILED: Final = "States.ItemReaderFailed"
_GET: Final = "arn:aws:states:::s3:getObject"
_DELIMITERS: Final = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}


def described(found: Iterable[Json] | Mapping[str, Json], source: str) -> Iterator[Item]:
    """The items of a list, or the members of an object, with their source."""
    if isinstance(found, Mapping):
        return ({"Key": key, "Value": value, "Source": source} for key, value in found.items())
    return ({"Value": value, "Source": source} for value in found)


def numbered(items: Iterable[Item]) -> list[Item]:
    """The items with their Index."""
    return [{"Index": index, **item} for index, item in enumerate(items)]


def read_items(reader: ItemReader, step: Step) -> list[Item]:
    """The items that the reader finds.

    Raises:
        StateFailed: the items could not be read (States.ItemReaderFailed).
    """
    config = reader.reader_config or ReaderConfig()
    limit = _limit(config, step)
    scope = step.scope.on(step.input)
    template = reader.arguments if reader.arguments is not UNSET else reader.parameters
    request = step.flow.template({} if template is UNSET else template, "Parameters", scope)
    parameters = request if isinstance(request, Mapping) else {}
    if not reader.resource.endswith(":listObjectsV2"):
        found = described(_parse(step, reader.resource, parameters, config), _uri(parameters))
    else:
        listed = _listed(step, reader.resource, parameters)
        if config.transformation == "LOAD_AND_FLATTEN":
            found = _loaded(step, parameters, listed, config)
        else:
            found = described(listed, f"S3://{parameters.get('Bucket')}")
    return numbered(itertools.islice(found, limit))


def _uri(parameters: Mapping[str, Json]) -> str:
    return f"S3://{parameters.get('Bucket')}/{parameters.get('Key')}"


def _limit(config: ReaderConfig, step: Step) -> int:
    try:
        limit = step.integer(config, "max_items")
    except EvaluationFailed as failure:
        if failure.error != RUNTIME or "not a valid integer" not in str(failure.cause):
            raise
        raise StateFailed(_FAILED, failure.cause) from failure
    if limit is not None and limit < 0:
        raise StateFailed(_FAILED, "field MaxItems must be positive")
    return limit or MAP_ITEMS  # 0 means all, as on AWS


def _listed(step: Step, resource: str, parameters: Mapping[str, Json]) -> Iterator[Json]:
    token: Json = None
    while True:
        page = {**parameters, "ContinuationToken": token} if token else dict(parameters)
        answer = _call(step, resource, page)
        contents = plain(answer.get("Contents") or [])
        for entry in contents if isinstance(contents, list) else ():
            yield {"Etag" if name == "ETag" else name: value for name, value in dict(entry).items()}
        token = plain(answer.get("NextContinuationToken"))
        if not token:
            return


def _loaded(
    step: Step, parameters: Mapping[str, Json], entries: Iterable[Json], config: ReaderConfig
) -> Iterator[Item]:
    for entry in entries:
        key = entry.get("Key") if isinstance(entry, Mapping) else None
        request = {"Bucket": parameters.get("Bucket"), "Key": key}
        yield from described(_parse(step, _GET, request, config), _uri(request))


def _call(step: Step, resource: str, parameters: Mapping[str, Json]) -> Mapping[str, object]:
    try:
        answer = call_service(step.frame.shared.resources, resource, parameters)
    except StateFailed as failure:
        raise StateFailed(_FAILED, failure.cause) from failure
    return answer if isinstance(answer, Mapping) else {"Body": answer}


def _parse(
    step: Step, resource: str, parameters: Mapping[str, Json], config: ReaderConfig
) -> Iterable[Json] | Mapping[str, Json]:
    parse = _PARSERS.get(str(config.input_type or "JSON"))
    if parse is None:
        raise StateFailed(_FAILED, f"InputType {config.input_type} is not supported: use one of {', '.join(_PARSERS)}")
    body = body_of(_call(step, resource, parameters))
    try:
        return parse(body, config, lambda key: body_of(_call(step, _GET, {**parameters, "Key": key})))
    except (ValueError, UnicodeDecodeError, EOFError, OSError) as error:
        raise StateFailed(_FAILED, f"the object cannot be read as {config.input_type or 'JSON'}: {error}") from error


Load = Callable[[str], bytes]


def _json(body: bytes, config: ReaderConfig, load: Load) -> Iterable[Json] | Mapping[str, Json]:  # noqa: ARG001
    document = cast("Json", strict_json.parse(body))
    for name in (config.items_pointer or "").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        document = document.get(name) if isinstance(document, Mapping) else None
    if isinstance(document, Mapping) and config.items_pointer:
        return document
    if not isinstance(document, list):
        raise StateFailed(_FAILED, "Attempting to map over non-iterable node.")
    return document


def _json_lines(body: bytes, config: ReaderConfig, load: Load) -> Iterable[Json]:  # noqa: ARG001
    return [cast("Json", strict_json.parse(line)) for _, line in strict_json.lines(io.BytesIO(body))]


def _csv(body: bytes, config: ReaderConfig, load: Load) -> Iterable[Json]:  # noqa: ARG001
    delimiter = _DELIMITERS[str(config.csv_delimiter or "COMMA")]
    rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    if config.csv_header_location == "GIVEN":
        given = config.csv_headers if isinstance(config.csv_headers, list | tuple) else ()
        headers = [str(name) for name in given]
    else:
        headers = next(rows, [])
    if len(set(headers)) < len(headers):
        raise StateFailed(_FAILED, "CSV headers cannot contain duplicates.")
    return (dict(zip(headers, itertools.chain(row, itertools.repeat("")), strict=False)) for row in rows if row)


def _manifest(body: bytes, config: ReaderConfig, load: Load) -> Iterator[Json]:  # noqa: ARG001
    """The rows of an S3 Inventory report, whose manifest lists the columns and the compressed CSV files."""
    manifest: Any = strict_json.parse(body)
    columns = [name.strip() for name in manifest["fileSchema"].split(",")]
    for file in manifest["files"]:
        data = load(file["key"])
        content = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        for row in csv.reader(io.StringIO(content.decode(), newline="")):
            yield dict(zip(columns, row, strict=False))


_PARSERS: Final[Mapping[str, Callable[[bytes, ReaderConfig, Load], Iterable[Json]]]] = {
    "CSV": _csv,
    "JSON": _json,
    "JSONL": _json_lines,
    "MANIFEST": _manifest,
}
