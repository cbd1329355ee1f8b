"""Reading and normalising of a source's images to disk, in the same way as in serving."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from scones_ml import images
from scones_ml.dataset.checks import Problem, StagedImage
from scones_ml.dataset.grouping import sign
from scones_ml.dataset.kinds import file_kind
from scones_ml.dataset.sources import Candidate, Listing
from scones_ml.errors import ImageError
from scones_ml.images.signatures import image_format
from scones_ml.ports import Progress

__all__ = ["Reading", "read_all"]


class Reading:
    """How images are read: as in serving, so that the model gets equal pixels.

    Attributes:
        size: target of the shorter side, in pixels.
        policy: image policy, 1 or 2.
        larger: number of images reduced so far.
    """

    def __init__(self, size: int, policy: Literal[1, 2] = 2) -> None:
        self.size, self.policy, self.larger = size, policy, 0

    def image(self, candidate: Candidate, data: bytes, group: str | None, file: Path) -> StagedImage:
        """Write the reduced image to a file, and compute its digests and signature."""
        found = images.reduce(data, self.size)
        self.larger += min(found.stored) > self.size
        png = found.png if self.policy == 2 else self._by_first_policy(data)
        file.write_bytes(png)
        drawn = candidate.identity is not None
        return StagedImage(
            name=candidate.name,
            class_name=candidate.class_name,
            split=candidate.split,
            digest=hashlib.sha256(png).hexdigest(),
            file=file,
            canonical=found.decoded_digest,
            source=hashlib.sha256((candidate.identity or "").encode() if drawn else data).hexdigest(),
            signature=None if drawn else sign(found.decoded),
            group=group,
        )

    def _by_first_policy(self, data: bytes) -> bytes:
        """Normalise as serving does with policy 1, then reduce to the model's size."""
        caps = images.ImagePolicy()
        image = images.normalise(data, caps.of_model(caps.image_size, None))
        if max(image.width, image.height) <= self.size:
            return image.png
        return images.normalise(image.png, caps.of_model(self.size, None)).png


def read_all(
    listing: Listing, groups: Sequence[str | None], work: Path, reading: Reading, progress: Progress
) -> tuple[list[StagedImage], list[Problem], Counter[str]]:
    """Read and normalise every image into a flat folder; splits are assigned later."""
    incoming = work / "incoming"
    incoming.mkdir()
    found: list[StagedImage] = []
    problems = list(listing.problems)
    ignored = Counter(listing.ignored_by_kind)
    if rest := listing.ignored - ignored.total():
        ignored["other files"] += rest
    total = len(listing.candidates)
    for done, (candidate, data) in enumerate(_bytes_of_all(listing), 1):
        try:
            if isinstance(data, ImageError):
                raise data
            found.append(reading.image(candidate, data, groups[done - 1], incoming / f"{done}.png"))
        except ImageError as exc:
            if candidate.expected or (isinstance(data, bytes) and image_format(data)):
                problems.append(Problem(candidate.name, "unreadable", str(exc)))
            else:
                ignored[file_kind(candidate.name)] += 1
        progress(done, total)
    return found, problems, ignored


def _bytes_of_all(listing: Listing) -> Iterator[tuple[Candidate, bytes | ImageError]]:
    """All candidates with their bytes, in order; a bounded number is read ahead if the listing allows it."""
    if listing.at_a_time == 1:
        yield from ((candidate, _bytes_of(candidate)) for candidate in listing.candidates)
        return
    with ThreadPoolExecutor(listing.at_a_time) as pool:
        ahead: deque[tuple[Candidate, Future[bytes | ImageError]]] = deque()
        for candidate in listing.candidates:
            ahead.append((candidate, pool.submit(_bytes_of, candidate)))
            if len(ahead) > 2 * listing.at_a_time:  # one being read and one waiting for each thread
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()


def _bytes_of(candidate: Candidate) -> bytes | ImageError:
    try:
        return candidate.read()
    except ImageError as exc:
        return exc
    except OSError as exc:
        return ImageError(exc.strerror or str(exc))
