"""Display of a data set: its counts, and some of its images."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Final

from scones_ml import images
from scones_ml.displays import ROOM, aligned, escaped, fragment, table
from scones_ml.errors import ImageError, MissingExtraError
from scones_ml.printable import printable

if TYPE_CHECKING:
    from scones_ml.dataset.records import Dataset, Record

__all__ = ["as_html", "as_text"]

_SIDE: Final = 96  # pixels of a thumbnail
_MOST_CLASSES: Final = 12  # in the table, and among the images
_MOST_IMAGES: Final = 24
_THUMBNAIL: Final = images.ImagePolicy(image_size=_SIDE)
_SMALL_FILE: Final = 4_000  # bytes; larger thumbnails are a quarter of the size as JPEG


def as_text(data: Dataset) -> str:
    """Summary line, then counts of images by split and class."""
    counts = data.counts()
    rows = [(name, *(f"{counts[split][name]:,}" for split in counts)) for name in data.classes[:_MOST_CLASSES]]
    return "\n".join(
        [printable(_title(data)), aligned([("class", *counts), *rows], range(1, 1 + len(counts))), *_more(data)]
    )


def as_html(data: Dataset, *notes: str) -> str:
    """Counts and images of the training split; test images are not shown, so that no choice is made on them.

    Args:
        data: the data set.
        notes: lines of text below the counts.
    """
    counts = data.counts()
    rows = ((name, *(f"{counts[split][name]:,}" for split in counts)) for name in data.classes[:_MOST_CLASSES])
    return fragment(
        f'<p class="title">{escaped(_title(data))}</p>',
        table(("class", *counts), rows, range(1, 1 + len(counts))),
        *(f'<p class="note">{escaped(line)}</p>' for line in (*_more(data), *notes)),
        _grid(data),
    )


def _title(data: Dataset) -> str:
    """One-line description of the data set."""
    return (
        f"{len(data.records):,} images of {len(data.classes):,} classes in {data.root}, {data.image_size} pixels a side"
    )


def _more(data: Dataset) -> list[str]:
    rest = len(data.classes) - _MOST_CLASSES
    return [f"and {rest:,} more classes"] if rest > 0 else []


def _grid(data: Dataset) -> str:
    figures, room = [], ROOM
    for record in _some(data):
        try:
            figure = _figure(data, record)
        except MissingExtraError as exc:
            return f'<p class="note">without images: {escaped(str(exc))}</p>'
        room -= len(figure)
        if room < 0:
            break
        figures.append(figure)
    return f'<div class="images">{"".join(figures)}</div>' if figures else ""


def _some(data: Dataset) -> Iterator[Record]:
    """Evenly spaced images of the first classes, one class after another."""
    shown = data.classes[:_MOST_CLASSES]
    most = max(1, _MOST_IMAGES // len(shown))
    of_class: dict[str, list[Record]] = {name: [] for name in shown}
    for record in data.split("train"):
        if record.class_name in of_class:
            of_class[record.class_name].append(record)
    spread = [_spread(rows, most) for rows in of_class.values()]
    in_turn = chain.from_iterable(zip_longest(*spread))
    return islice((record for record in in_turn if record), _MOST_IMAGES)


def _spread(rows: list[Record], most: int) -> list[Record]:
    count = min(most, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _figure(data: Dataset, record: Record) -> str:
    try:
        made = images.preview((data.root / record.path).read_bytes(), _THUMBNAIL)
    except (OSError, ImageError):
        shown = '<span class="none"></span>'
    else:
        kind, thumbnail = (made.media_type, made.data) if len(made.data) <= _SMALL_FILE else _smaller(made.data)
        small = ' class="small"' if max(made.width, made.height) < _SIDE else ""
        shown = f'<img{small} alt="" src="data:{kind};base64,{base64.b64encode(thumbnail).decode()}">'
    return f"<figure>{shown}<figcaption>{escaped(record.class_name)}</figcaption></figure>"


def _smaller(png: bytes) -> tuple[str, bytes]:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=85)
    return "image/jpeg", buffer.getvalue()
