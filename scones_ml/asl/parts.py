"""Parts of states: Retry and Catch rules, branches, and the settings of Map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from scones_ml.asl.codec import decode, encode, part
from scones_ml.asl.values import UNSET, Json, Unset
from scones_ml.errors import InvalidDefinitionError

if TYPE_CHECKING:
    from scones_ml.asl.states import State

__all__ = [
    "Branch",
    "Catcher",
    "ItemBatcher",
    "ItemProcessor",
    "ItemReader",
    "ProcessorConfig",
    "QueryLanguage",
    "ReaderConfig",
    "ResultWriter",
    "Retrier",
    "WriterConfig",
    "as_list",
    "one",
    "several",
    "states_field",
]

QueryLanguage: TypeAlias = Literal["JSONPath", "JSONata"]
T = TypeVar("T")


def one(kind: type[T], name: str | None = None) -> Mapping[str, object]:
    """Metadata of a field that contains one part."""

    def read(document: Json) -> T:
        return decode(kind, document, what=kind.__name__)

    return part(read, encode, name)


def several(kind: type[T]) -> Mapping[str, object]:
    """Metadata of a field that contains a list of parts."""

    def read(document: Json) -> tuple[T, ...]:
        return tuple(decode(kind, item, what=kind.__name__) for item in as_list(document, kind.__name__))

    def write(parts: tuple[T, ...]) -> Json:
        return [encode(item) for item in parts]

    return part(read, write)


def as_list(document: Json, what: str) -> list[Json]:
    """`document` if it is a list, else InvalidDefinitionError."""
    if not isinstance(document, list | tuple):
        raise InvalidDefinitionError(f"{what}: expected a list, found {type(document).__name__}")
    return list(document)


def _read_names(document: Json) -> tuple[str, ...]:
    return tuple(str(name) for name in as_list(document, "ErrorEquals"))


def _read_states(document: Json) -> Mapping[str, State]:
    from scones_ml.asl.states import read_states

    return read_states(document)


def _write_states(states: Mapping[str, State]) -> Json:
    return {name: state.to_json() for name, state in states.items()}


states_field: Final = part(_read_states, _write_states)
names_field: Final = part(_read_names, list)


@dataclass(frozen=True, kw_only=True)
class Retrier:
    """A Retry rule.

    Attributes:
        error_equals: error names; ``States.ALL`` alone and last.
        interval_seconds: wait before the first retry; AWS's default is 1.
        max_attempts: maximum number of retries, 0 for none; AWS's default is 3.
        backoff_rate: factor from one wait to the next; AWS's default is 2.
        max_delay_seconds: maximum wait.
        jitter_strategy: ``FULL`` waits a random time of up to the computed one.
    """

    error_equals: tuple[str, ...] = field(metadata=names_field)
    comment: str | None = None
    interval_seconds: int | None = None
    max_attempts: int | None = None
    backoff_rate: float | None = None
    max_delay_seconds: int | None = None
    jitter_strategy: Literal["FULL", "NONE"] | None = None


@dataclass(frozen=True, kw_only=True)
class Catcher:
    """A Catch rule: the state to go to after an error.

    Attributes:
        error_equals: error names; ``States.ALL`` alone and last.
        next: the state to go to.
        result_path: JSONPath: where to insert ``{"Error", "Cause"}`` in the state's input; None discards it.
        output: JSONata: the input of the next state.
        assign: variables to set.
    """

    error_equals: tuple[str, ...] = field(metadata=names_field)
    next: str
    comment: str | None = None
    result_path: str | Unset | None = UNSET
    output: Json | Unset = UNSET
    assign: Mapping[str, Json] | None = None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A machine inside a Parallel state; it can read the outer variables, and its own are local."""

    start_at: str
    states: Mapping[str, State] = field(metadata=states_field)
    comment: str | None = None
    query_language: QueryLanguage | None = None


@dataclass(frozen=True, kw_only=True)
class ProcessorConfig:
    """Mode of a Map: items in this execution (INLINE), or each in its own execution (DISTRIBUTED)."""

    mode: Literal["INLINE", "DISTRIBUTED"] | None = None
    execution_type: Literal["STANDARD", "EXPRESS"] | None = None


@dataclass(frozen=True, kw_only=True)
class ItemProcessor(Branch):
    """The machine that a Map state runs for each item."""

    processor_config: ProcessorConfig | None = field(default=None, metadata=one(ProcessorConfig))


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How an ItemReader turns an object into items."""

    input_type: str | Mapping[str, Json] | None = None
    transformation: str | None = None
    csv_header_location: str | None = field(default=None, metadata={"name": "CSVHeaderLocation"})
    csv_headers: Json = field(default=None, metadata={"name": "CSVHeaders"})
    csv_delimiter: str | None = field(default=None, metadata={"name": "CSVDelimiter"})
    max_items: int | str | None = None
    max_items_path: str | None = None
    manifest_type: str | None = None
    items_pointer: str | None = None


@dataclass(frozen=True, kw_only=True)
class ItemReader:
    """Source of the items of a distributed Map."""

    resource: str
    parameters: Json | Unset = UNSET
    arguments: Json | Unset = UNSET
    reader_config: ReaderConfig | None = field(default=None, metadata=one(ReaderConfig))


@dataclass(frozen=True, kw_only=True)
class ItemBatcher:
    """Batches of a distributed Map: by number of items, by bytes, or by the limit that is reached first."""

    max_items_per_batch: int | str | None = None
    max_items_per_batch_path: str | None = None
    max_input_bytes_per_batch: int | str | None = None
    max_input_bytes_per_batch_path: str | None = None
    batch_input: Json | Unset = UNSET


@dataclass(frozen=True, kw_only=True)
class WriterConfig:
    """Format of a ResultWriter's files: executions or their outputs, as JSON or JSON Lines."""

    transformation: Literal["NONE", "COMPACT", "FLATTEN"] | None = None
    output_type: Literal["JSON", "JSONL"] | None = None


@dataclass(frozen=True, kw_only=True)
class ResultWriter:
    """Destination of the results of a distributed Map."""

    resource: str | None = None
    parameters: Json | Unset = UNSET
    arguments: Json | Unset = UNSET
    writer_config: WriterConfig | None = field(default=None, metadata=one(WriterConfig))
