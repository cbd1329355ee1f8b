"""Safety check of an untrusted ``model.onnx``, on its bytes, before ONNX Runtime reads them.

ONNX is a protocol buffer. Only the fields that a classifier needs are allowed, by number; all others are rejected:
external weights, operators of other libraries, functions, control flow, sparse tensors, and data that grows when
loaded. The numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from scones_ml.printable import printable

__all__ = ["check_graph"]

_MOST_FIELDS: Final = 200_000  # a graph of a thousand nodes has 30,000
_MOST_TEXT: Final = 16_000_000  # bytes without weights
_MOST_NUMBERS: Final = 2**31  # in a tensor
_MOST_HALVES: Final = 25_000_000  # fp16 numbers, which ONNX Runtime widens on loading
_DOMAINS: Final = (b"", b"ai.onnx")
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types

# Contents of a field: one of these, or the message of that name.
_NUMBER, _TEXT, _BYTES, _WEIGHTS, _DOMAIN = "number", "text", "bytes", "weights", "domain"
_KNOWN: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {
        **dict.fromkeys((1, 5), _NUMBER),
        **dict.fromkeys((2, 3, 4, 6), _TEXT),
        7: "graph",
        8: "operator set",
        14: "entry",
    },
    "operator set": {1: _TEXT, 2: _NUMBER},
    "graph": {
        **dict.fromkeys((2, 10), _TEXT),
        **dict.fromkeys((11, 12, 13), "value"),
        1: "node",
        5: "tensor",
        14: "annotation",
        16: "entry",
    },
    "node": {**dict.fromkeys((1, 2, 3, 4, 6, 8), _TEXT), 5: "attribute", 7: _DOMAIN, 9: "entry"},
    "attribute": {
        **dict.fromkeys((2, 3, 7, 8, 20), _NUMBER),
        **dict.fromkeys((1, 13, 21), _TEXT),
        **dict.fromkeys((4, 9), _BYTES),
        **dict.fromkeys((5, 10), "tensor"),
    },
    "tensor": {
        **dict.fromkeys((1, 2, 5, 7, 11, 14), _NUMBER),
        **dict.fromkeys((8, 12), _TEXT),
        6: _BYTES,
        **dict.fromkeys((4, 9, 10), _WEIGHTS),
        16: "entry",
    },
    "value": {**dict.fromkeys((1, 3), _TEXT), 2: "type", 4: "entry"},
    "type": {1: "tensor type", 6: _TEXT},
    "tensor type": {1: _NUMBER, 2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {1: _NUMBER, **dict.fromkeys((2, 3), _TEXT)},
    "annotation": {1: _TEXT, 2: "entry"},
    "entry": dict.fromkeys((1, 2), _TEXT),
}
_REFUSED: Final[Mapping[tuple[str, int], str]] = {
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse tensors",
    **dict.fromkeys((("attribute", 6), ("attribute", 11)), "a graph within a node (If, Loop, Scan)"),
    **dict.fromkeys((("attribute", 22), ("attribute", 23)), "sparse tensors"),
    ("tensor", 13): "weights in another file",
    **dict.fromkeys((("type", 4), ("type", 5), ("type", 8), ("type", 9)), "values that are not tensors"),
}
_ONCE: Final = (
    ("model", 7),
    ("attribute", 5),
    ("value", 2),
    ("type", 1),
    ("tensor type", 2),
)  # repeated ones would be merged
_LONGEST_SHAPE: Final = 320  # bytes
_DIMENSIONS, _ELEMENT_TYPE, _RAW, _LOCATION = 1, 2, 9, 14  # fields of a tensor
_BITS: Final = {  # bits of an element by type
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
}

_FLOAT, _FLOAT16 = 1, 10  # element types
_CONSTANTS: Final = frozenset((b"Constant", b"Shape", b"Size"))  # the latter two if the input's shape is known
_WITHOUT_CONSTANTS: Final = frozenset(  # never replaced by a graph with constants of its own
    b"Add ArgMax AveragePool BatchNormalization Cast Clip Concat Constant Conv Div Equal Erf Exp Expand Flatten Gather "
    b"Gemm GlobalAveragePool Greater GreaterOrEqual HardSigmoid Identity LayerNormalization Less LessOrEqual "
    b"Log MatMul Max MaxPool Min Mul Neg Not Pad Pow Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu "
    b"Reshape Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tanh TopK Transpose Unsqueeze Where".split()
)

_Field = tuple[int, int, int, int]


class _Node(NamedTuple):
    operator: bytes
    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    attributes: tuple[tuple[bytes, int], ...]


def check_graph(graph: bytes) -> bool:
    """Reject a graph that is not safe to load.

    Args:
        graph: bytes of ``model.onnx``.

    Returns:
        Whether constant folding is safe on loading: it only widens fp16 weights to fp32, each once, which takes at most
        twice the size of the file.

    Raises:
        ValueError: the graph has parts that a classifier does not need, or is not ONNX. The message continues after the
            file's name.
    """
    check = _Check(graph)
    check.message("model", 0, len(graph))
    return check.only_widens_weights()


class _Check:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields_left, self._text_left, self._halves_left = _MOST_FIELDS, _MOST_TEXT, _MOST_HALVES
        self._graph = (0, 0)

    def message(self, kind: str, start: int, end: int) -> None:
        """Check a message; nesting is bounded by the known fields."""
        known, seen = _KNOWN[kind], set[int]()
        fields = self._tensor(start, end) if kind == "tensor" else self._fields(start, end)
        for number, wire, value, stop in fields:
            holds = known.get(number)
            if holds is None:
                raise ValueError(
                    f"holds {_REFUSED.get((kind, number), f'field {number} of a {kind}, which is unknown')}"
                )
            if wire != _LENGTH:
                if holds not in (_NUMBER, _WEIGHTS):
                    raise ValueError(_NO_ONNX)
            elif holds in _KNOWN:
                if number in seen and (kind, number) in _ONCE:
                    raise ValueError(_NO_ONNX)
                seen.add(number)
                if holds == "graph":
                    self._graph = (value, stop)
                self.message(holds, value, stop)
            elif holds != _WEIGHTS:
                self._text(holds, value, stop)

    def _text(self, kind: str, start: int, end: int) -> None:
        self._text_left -= end - start
        if self._text_left < 0:
            raise ValueError(f"holds more than {_MOST_TEXT:,} bytes besides its weights")
        text = self._data[start:end]
        if kind == _DOMAIN and text not in _DOMAINS:
            domain = printable(text[:80].decode(errors="replace"))
            raise ValueError(f"needs operators of {domain}: only ONNX's own are allowed")
        if kind == _TEXT:
            try:
                text.decode()
            except UnicodeDecodeError as exc:  # ONNX Runtime would print it and retry
                raise ValueError("holds a text that is not UTF-8") from exc

    def only_widens_weights(self) -> bool:
        """Whether the only foldable nodes are Casts of weights from fp16 to fp32, one for each."""
        if self._halves_left == _MOST_HALVES:
            return False
        self._fields_left = _MOST_FIELDS
        nodes, weights = list[_Node](), list[tuple[bytes, int]]()
        for number, _, start, end in self._fields(*self._graph):
            if number == 1:
                nodes.append(self._node(start, end))
            elif number == 5:
                weights.append(self._named(start, end, 8, _ELEMENT_TYPE))
        return _only_widens(nodes, weights)

    def _node(self, start: int, end: int) -> _Node:
        inputs, outputs, operator, attributes = list[bytes](), list[bytes](), b"", list[tuple[bytes, int]]()
        for number, _, at, stop in self._fields(start, end):
            if number == 1:
                inputs.append(self._data[at:stop])
            elif number == 2:
                outputs.append(self._data[at:stop])
            elif number == 4:
                operator = self._data[at:stop]
            elif number == 5:
                attributes.append(self._named(at, stop, 1, 3))
        return _Node(operator, tuple(inputs), tuple(outputs), tuple(attributes))

    def _named(self, start: int, end: int, name: int, number: int) -> tuple[bytes, int]:
        """Name and number of a tensor or an attribute, from these fields."""
        found, value = b"", 0
        for field, wire, at, stop in self._fields(start, end):
            if field == name:
                found = self._data[at:stop]
            elif field == number and wire == _VARINT:
                value = at
        return found, value

    def _tensor(self, start: int, end: int) -> Iterator[_Field]:
        """Fields of a tensor; checks that its size matches its data."""
        numbers, kind, raw, there = 1, 0, None, 0
        for field in self._fields(start, end):
            number, wire, value, stop = field
            if number == _DIMENSIONS:
                shape = self._varints(value, min(stop, value + _LONGEST_SHAPE)) if wire == _LENGTH else (value,)
                for size in shape:
                    numbers = min(numbers * size, _MOST_NUMBERS)
            elif number == _ELEMENT_TYPE:
                kind = value
            elif number == _LOCATION and value:
                raise ValueError("holds weights in another file")
            elif number == _RAW:
                raw = stop - value
            else:
                there += stop - value if wire == _LENGTH else 1
            yield field
        bits = _BITS.get(kind, 0)
        fits = numbers <= there if raw is None else bits and (numbers * bits + 7) // 8 == raw
        if not fits or numbers == _MOST_NUMBERS:
            raise ValueError("holds a tensor whose size differs from its header")
        self._halves_left -= numbers if kind == _FLOAT16 else 0
        if self._halves_left < 0:
            raise ValueError(f"holds more than {_MOST_HALVES:,} weights in fp16")

    def _fields(self, start: int, end: int) -> Iterator[_Field]:
        """Number, wire type and value of each field: the value of a varint, else start and end."""
        at = start
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ValueError(f"holds more than {_MOST_FIELDS:,} fields")
            key, at = self._varint(at, end)
            wire = key & 7
            if wire == _VARINT:
                value, at = self._varint(at, end)
                yield key >> 3, wire, value, 0
                continue
            if wire == _LENGTH:
                length, at = self._varint(at, end)
            elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
                length = 8 if wire == _EIGHT_BYTES else 4
            else:
                raise ValueError(_NO_ONNX)
            if at + length > end:
                raise ValueError(_NO_ONNX)
            yield key >> 3, wire, at, at + length
            at += length

    def _varints(self, start: int, end: int) -> Iterator[int]:
        while start < end:
            value, start = self._varint(start, end)
            yield value

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
            shift += 7
        raise ValueError(_NO_ONNX)


def _only_widens(nodes: Sequence[_Node], weights: Sequence[tuple[bytes, int]]) -> bool:
    """See :meth:`_Check.only_widens_weights`.

    The order of the nodes does not matter: the first unsafe node to be folded would have only weights, shapes and
    widened weights as inputs.
    """
    types = dict(weights)
    widened = {
        node.inputs[0]: node
        for node in nodes
        if node.operator == b"Cast"
        and len(node.inputs) == 1
        and types.get(node.inputs[0]) == _FLOAT16
        and node.attributes == ((b"to", _FLOAT),)
    }
    allowed = {id(node) for node in widened.values()}  # a second Cast of the same weight is not
    constants = {b"", *types}
    for node in nodes:
        if id(node) in allowed or node.operator in _CONSTANTS:
            constants.update(node.outputs)
    others = [node for node in nodes if id(node) not in allowed and node.operator != b"Constant"]
    names = [name for name, _ in weights] + [name for node in nodes for name in node.outputs]
    return (
        len(set(names)) == len(names)
        and all(node.operator in _WITHOUT_CONSTANTS for node in nodes)
        and not any(constants.issuperset(node.inputs) for node in others)
    )


_NO_ONNX: Final = "is not an ONNX graph, or cut short"
