"""Image, class and split of a manifest's row.

A row is a JSON object or a line of a table. Its label is in the file's only label attribute: one with a
``NAME-metadata`` beside it, as SageMaker Ground Truth writes, or ``class`` or ``label``, or the only other field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scones_ml.dataset.lines import whole_number
from scones_ml.dataset.records import Split
from scones_ml.dataset.sources import split_named
from scones_ml.errors import DatasetError
from scones_ml.printable import printable

__all__ = [
    "FIELDS",
    "IMAGE_FIELDS",
    "LABEL_FIELDS",
    "Labelled",
    "Row",
    "Unlabelled",
    "image_of",
    "label_attribute",
    "read_label",
]

Row = Mapping[str, object]

IMAGE_FIELDS: Final = ("source-ref", "path", "filename", "file_name", "image", "file")
LABEL_FIELDS: Final = ("class", "label")
_SPLIT, _METADATA = "split", "-metadata"
_GROUND_TRUTH = "groundtruth/"
_READABLE_TYPES: Final = {
    "groundtruth/image-classification",
    "groundtruth/image-classification-multilabel",  # holds a single label
    "groundtruth/label-verification",
    "groundtruth/custom",
}
_OF_GROUND_TRUTH: Final = {"class-name", "class-map", "failure-reason", "type"}
FIELDS: Final = (*IMAGE_FIELDS, *LABEL_FIELDS, _SPLIT)
"""Reserved field names."""

_UNASSIGNED: Final = {"", "unassigned"}
_QUOTED = 60  # characters of a value in a message
_NAMED = 8  # attributes in a message


@dataclass(frozen=True, slots=True)
class Labelled:
    """Class and split of a row.

    Attributes:
        class_name: the image's class.
        split: the row's split; None if it has none.
        columns: other scalar fields, as text.
    """

    class_name: str
    split: Split | None
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A row without a class.

    Attributes:
        reason: description of the reason.
    """

    reason: str


def image_of(row: Row, where: str) -> str:
    """Image of a row: a path or a URI.

    Raises:
        DatasetError: no field holds an image.
    """
    field = _image_field(row)
    image = row.get(field)
    if isinstance(image, str) and image.strip():
        return image.strip()
    if "source" in row:
        raise DatasetError(f"{where} holds text (source) instead of an image: give images in source-ref")
    raise DatasetError(f"{where} has no image: give it as {', '.join(IMAGE_FIELDS)}")


def _image_field(row: Row) -> str:
    return next((field for field in IMAGE_FIELDS if field in row), "")


def label_attribute(rows: Iterable[Row], wanted: str | None, source: str) -> str:
    """Name of a file's label attribute.

    Args:
        rows: all rows of the file.
        wanted: requested attribute; None if there is only one.
        source: name of the file, for messages.

    Raises:
        DatasetError: the attribute is missing or ambiguous; the message lists the attributes.
    """
    fields: dict[str, None] = {}
    found: dict[str, None] = {}
    for row in rows:
        fields |= dict.fromkeys(row)
        found |= dict.fromkeys(_label_attributes(row))
    if not fields:
        raise DatasetError(f"{source} lists no images")
    if wanted is not None:
        if wanted in fields or wanted + _METADATA in fields:
            return wanted
        there = _some(list(found) or _others(fields))
        raise DatasetError(f"{source} has no label attribute {wanted!r}: choose from {there}")
    names = list(found) or _others(fields)
    if len(names) == 1:
        return names[0]
    if names:
        raise DatasetError(
            f"{source} has several label attributes, {_some(names)}: choose one with --label-attribute {names[0]}"
        )
    raise DatasetError(f"{source} has no labels: give each image a class in a field named class or label")


def _some(names: list[str]) -> str:
    return ", ".join([*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])]) or "none"


def _label_attributes(row: Row) -> list[str]:
    described = [
        name.removesuffix(_METADATA)
        for name, value in row.items()
        if name.endswith(_METADATA)
        and isinstance(value, dict)
        and (name.removesuffix(_METADATA) in row or _OF_GROUND_TRUTH & value.keys())
    ]
    described = [name for name in described if name not in IMAGE_FIELDS]
    plain = next((name for name in LABEL_FIELDS if name in row), None)
    return described if plain is None or plain in described else [*described, plain]


def _others(fields: Iterable[str]) -> list[str]:
    return [name for name in fields if name and name not in (*IMAGE_FIELDS, _SPLIT) and not name.endswith(_METADATA)]


def read_label(row: Row, attribute: str, where: str) -> Labelled | Unlabelled:
    """Class of a row, or the reason it has none.

    Raises:
        DatasetError: the row has several labels, boxes, masks, or an invalid number; the message gives the row.
    """
    metadata = row.get(attribute + _METADATA)
    told = metadata if isinstance(metadata, dict) else {}
    if failure := told.get("failure-reason"):
        return Unlabelled(printable(f"labelling failed: {str(failure)[:200]}"))
    class_name = _class_name(row.get(attribute), told, attribute, f"{where}: {attribute}")
    if class_name is None:
        return Unlabelled(printable(f"no label: {attribute:.60} is missing"))
    return Labelled(printable(class_name), _split(row, where), _columns(row, attribute))


def _class_name(value: object, told: Row, attribute: str, where: str) -> str | None:
    kind = str(told.get("type", ""))
    if isinstance(value, dict) or (kind.startswith(_GROUND_TRUTH) and kind not in _READABLE_TYPES):
        raise DatasetError(
            f"{where} is {kind or 'an object'}, not a class: choose an attribute with one class for each image, "
            "such as one of groundtruth/image-classification, with --label-attribute"
        )
    if isinstance(value, list):
        if len(value) > 1:
            raise DatasetError(
                f"{where} holds {len(value)} labels instead of one: "
                "choose an attribute with one label, with --label-attribute"
            )
        value = value[0] if value else None
    name = told.get("class-name")
    if isinstance(name, str) and name.strip():
        return name.strip()
    text = _text(value)
    if not text:
        return None
    label = _label(text, where, is_name=attribute == "class")
    names = told.get("class-map")
    mapped = names.get(label) if isinstance(names, dict) else None
    return mapped if isinstance(mapped, str) and mapped else label


def _label(text: str, where: str, *, is_name: bool) -> str:
    """A label as a class name: whole numbers without decimals, ``1`` for ``1.0``."""
    try:
        number = whole_number(text)
    except ValueError as exc:
        if is_name:
            return text
        raise DatasetError(f"{where} is {text[:_QUOTED]}, neither a name nor a whole number from 0 up") from exc
    return text if number is None or text.isdigit() else str(number)


def _split(row: Row, where: str) -> Split | None:
    text = _text(row.get(_SPLIT)) or ""
    split = split_named(text)
    if split is None and text.casefold() not in _UNASSIGNED:
        raise DatasetError(f"{where}: unknown split {text[:_QUOTED]!r}: give train, validation, calibration or test")
    return split


def _columns(row: Row, attribute: str) -> dict[str, str]:
    taken = (_image_field(row), attribute, _SPLIT)
    return {
        printable(name): printable(text)
        for name, value in row.items()
        if name not in taken and (text := _text(value)) is not None
    }


def _text(value: object) -> str | None:
    """A scalar as text; None for null, objects and lists."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() if isinstance(value, str | int | float) else None
