"""The functions behind the Resource ARNs of our definitions on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from scones_ml import asl
from scones_ml.errors import ImageNotFoundError
from scones_ml.events import ImageRef
from scones_ml.events.models import PLACES
from scones_ml.local.handlers import LambdaContext, handler_behind, load_handler
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import ObjectStore

__all__ = ["get_object", "invoke_handler", "put_object", "task_resources", "workspace_resources"]

_PUT: Final = "arn:aws:states:::aws-sdk:s3:putObject"
_PLACEHOLDER: Final = re.compile(r"\$\{(\w+)\}")


def task_resources(store: ObjectStore, substitutions: Mapping[str, str]) -> dict[str, Callable[[asl.Json], object]]:
    """Functions behind the Resource ARNs of our definitions' tasks.

    Args:
        store: store for ``aws-sdk:s3:putObject`` and ``aws-sdk:s3:getObject``.
        substitutions: values of the definition's ``${Name}`` placeholders, other than functions.

    Returns:
        :func:`invoke_handler` for ``lambda:invoke``, :func:`put_object` and :func:`get_object` for S3.
    """
    return {
        "arn:aws:states:::lambda:invoke": invoke_handler,
        "arn:aws:states:::aws-sdk:s3:getObject": get_object(store, substitutions),
        _PUT: put_object(store, substitutions),
    }


def workspace_resources(
    store: DirectoryObjectStore, substitutions: Mapping[str, str]
) -> dict[str, Callable[[asl.Json], object]]:
    """As :func:`task_resources`, but a new outcome replaces the image's earlier one under another key.

    The new outcome is written first: after a kill in between both exist, and the later one counts. Concurrent runs take
    turns, so that none removes an outcome that another has just written.
    """
    resources = task_resources(store, substitutions)
    put = resources[_PUT]

    def put_alone(parameters: asl.Json) -> object:
        assert isinstance(parameters, dict)  # noqa: S101 - Parameters of a Task are an object
        with store.alone():
            answer = put(parameters)
            for elsewhere in _other_places(str(parameters["Key"])):
                store.delete(_bucket(parameters, substitutions), elsewhere)
        return answer

    return resources | {_PUT: put_alone}


def invoke_handler(parameters: asl.Json) -> object:
    """``lambda:invoke``: call the handler that the function's name refers to, and add Lambda's envelope.

    Args:
        parameters: ``FunctionName`` and ``Payload``.

    Raises:
        ConfigurationError: the name refers to no handler.
    """
    assert isinstance(parameters, dict)  # noqa: S101 - Parameters of a Task are an object
    name = handler_behind(str(parameters["FunctionName"]))
    result = load_handler(name)(parameters.get("Payload", {}), LambdaContext(name))
    return {"ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200}


def put_object(store: ObjectStore, substitutions: Mapping[str, str]) -> Callable[[asl.Json], object]:
    """``s3:putObject``, in a Task or a Map's ResultWriter: write one object to a store.

    Args:
        store: store of the objects.
        substitutions: values of the ``${Name}`` placeholders in a bucket's name.

    Returns:
        The function behind the ARN: it takes ``Bucket``, ``Key``, ``Body`` (text, or a JSON value) and
        ``ContentType``, and returns the ``ETag``.
    """

    def put(parameters: asl.Json) -> object:
        assert isinstance(parameters, dict)  # noqa: S101 - Parameters of a Task are an object
        bucket = _bucket(parameters, substitutions)
        body = parameters["Body"]
        data = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        content_type = str(parameters.get("ContentType", "application/json"))
        etag = store.write(bucket, str(parameters["Key"]), data.encode(), content_type)
        return {"ETag": f'"{etag}"'}

    return put


def get_object(store: ObjectStore, substitutions: Mapping[str, str]) -> Callable[[asl.Json], object]:
    """``aws-sdk:s3:getObject``: read one object of text.

    Args:
        store: store of the objects.
        substitutions: values of the ``${Name}`` placeholders in a bucket's name.

    Returns:
        The function behind the ARN: it takes ``Bucket`` and ``Key``, and returns ``Body``, ``ETag`` and
        ``LastModified``, or fails with ``S3.NoSuchKeyException``.
    """

    def get(parameters: asl.Json) -> object:
        assert isinstance(parameters, dict)  # noqa: S101 - Parameters of a Task are an object
        ref = ImageRef(s3_bucket=_bucket(parameters, substitutions), s3_key=str(parameters["Key"]))
        try:
            found = store.read(ref)
        except ImageNotFoundError as exc:
            raise asl.TaskFailed("S3.NoSuchKeyException", str(exc)) from exc
        listed = store.list(ref.s3_bucket, ref.s3_key)
        modified = datetime.fromtimestamp(next((item.modified for item in listed if item.key == ref.s3_key), 0.0), UTC)
        written = f"{modified:%Y-%m-%dT%H:%M:%S.%fZ}"
        return {"Body": found.data.decode(), "ETag": f'"{found.ref.etag}"', "LastModified": written}

    return get


def _bucket(parameters: Mapping[str, asl.Json], substitutions: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: substitutions[match[1]], str(parameters["Bucket"]))


def _other_places(key: str) -> list[str]:
    """Keys of the same image's outcome in the other places; none for any other object."""
    prefix, _, name = key.rpartition("/")
    places = [f"outcomes/{place}" for place in PLACES]
    return [f"{place}/{name}" for place in places if place != prefix] if prefix in places else []
