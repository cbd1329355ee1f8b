"""A drawing in three dimensions: shapes are collected first, then seen by a camera, fitted into a frame and painted.

The world's unit is about the length of a vehicle: x runs from its tail to its front, y up from the ground, z away from
the viewer. Shapes are painted in the order in which they were added, so what is near is added last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.dataset.synthetic.palette import Colour, shade

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import ImageDraw

__all__ = ["Camera", "Drawing", "Frame", "Point"]

Point = tuple[float, float] | tuple[float, float, float]
_TURN = tuple((math.cos(2 * math.pi * i / 32), math.sin(2 * math.pi * i / 32)) for i in range(33))
_FINE_TURN = tuple((math.cos(2 * math.pi * i / 128), math.sin(2 * math.pi * i / 128)) for i in range(129))


@dataclass(frozen=True)
class Camera:
    """Where the viewer stands.

    Attributes:
        yaw: radians that the vehicle's front is turned towards the viewer; 0 is the plain side view.
        elevation: radians that the viewer looks down.
        distance: of the viewer, in lengths of a vehicle; a small one gives a strong perspective.
        roll: radians that the picture is tilted.
        mirrored: whether the vehicle faces left.
    """

    yaw: float = 0.0
    elevation: float = 0.0
    distance: float = 4.0
    roll: float = 0.0
    mirrored: bool = False

    def project(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (N, 3) of the world to points (N, 2) of a plane with y downwards; scale and origin are still open."""
        x, y, z = points.T
        across = x * math.cos(self.yaw) + z * math.sin(self.yaw)
        away = z * math.cos(self.yaw) - x * math.sin(self.yaw)
        up = y * math.cos(self.elevation) + away * math.sin(self.elevation)
        near = self.distance / (self.distance + away)
        across, up = across * near, up * near
        if self.mirrored:
            across = -across
        cosine, sine = math.cos(self.roll), math.sin(self.roll)
        return np.stack([across * cosine + up * sine, across * sine - up * cosine], axis=1)


@dataclass(frozen=True)
class _Shape:
    """Consecutive points of the drawing; a line of this width, or a filled polygon when the width is None."""

    start: int
    stop: int
    colour: Colour
    width: float | None


class Drawing:
    """Shapes in the order of painting.

    Args:
        fine: more points on curves, for pictures larger than thumbnails.
    """

    def __init__(self, *, fine: bool = False) -> None:
        self.fine = fine
        self._turn = _FINE_TURN if fine else _TURN
        self._points: list[tuple[float, float, float]] = []
        self._shapes: list[_Shape] = []

    def _add(self, points: Iterable[Point], colour: Colour, width: float | None, z: float = 0.0) -> None:
        start = len(self._points)
        self._points += [(p[0], p[1], p[2] + z if len(p) == 3 else z) for p in points]
        self._shapes.append(_Shape(start, len(self._points), colour, width))

    def line(self, points: Iterable[Point], colour: Colour, width: float, z: float = 0.0) -> None:
        """A tube along the points."""
        self._add(points, colour, width, z)

    def polygon(self, points: Iterable[Point], colour: Colour, z: float = 0.0) -> None:
        """A flat sheet."""
        self._add(points, colour, None, z)

    def disc(self, centre: Point, radius: float, colour: Colour, z: float = 0.0, stretch: float = 1.0) -> None:
        """A filled circle, or an ellipse that is ``stretch`` times as long as high."""
        x, y = centre[0], centre[1]
        self._add([(x + stretch * radius * c, y + radius * s) for c, s in self._turn], colour, None, z)

    def ring(
        self, centre: Point, radius: float, width: float, colour: Colour, z: float = 0.0, steer: float = 0.0
    ) -> None:
        """A circle's outline, ``width`` of it inside the radius; ``steer`` turns it about the vertical, in radians."""
        inner = radius - width
        self._add([*self._circle(centre, radius, steer), *self._circle(centre, inner, steer)[::-1]], colour, None, z)

    def plate(self, centre: Point, radius: float, colour: Colour, z: float = 0.0, steer: float = 0.0) -> None:
        """A wheel's disc: a filled circle that turns with the steering."""
        self._add(self._circle(centre, radius, steer), colour, None, z)

    def _circle(self, centre: Point, radius: float, steer: float) -> list[Point]:
        x, y = centre[0], centre[1]
        along, aside = radius * math.cos(steer), radius * math.sin(steer)
        return [(x + along * c, y + radius * s, -aside * c) for c, s in self._turn]

    def arc(
        self,
        centre: Point,
        radius: float,
        start: float,
        stop: float,
        colour: Colour,
        width: float,
        z: float = 0.0,
        steer: float = 0.0,
    ) -> None:
        """A part of a circle, from ``start`` to ``stop`` degrees, counted from the front over the top."""
        x, y = centre[0], centre[1]
        n = 33 if self.fine else 9
        angles = [math.radians(start + (stop - start) * i / (n - 1)) for i in range(n)]
        along, aside = radius * math.cos(steer), radius * math.sin(steer)
        points = [(x + along * math.cos(a), y + radius * math.sin(a), -aside * math.cos(a)) for a in angles]
        self._add(points, colour, width, z)

    def spokes(
        self, centre: Point, radius: float, number: int, phase: float, colour: Colour, width: float, steer: float = 0.0
    ) -> None:
        """Diameters of a wheel."""
        x, y = centre[0], centre[1]
        for i in range(number):
            angle = phase + math.pi * i / number
            dx, dy = radius * math.cos(angle), radius * math.sin(angle)
            along, aside = dx * math.cos(steer), dx * math.sin(steer)
            self._add([(x - along, y - dy, aside), (x + along, y + dy, -aside)], colour, width)

    def body(self, points: Sequence[Point], colour: Colour, depth: float, z: float = 0.0) -> None:
        """A rounded solid of this depth: its far side and its edge lie in the shade, its upper part in the light."""
        outline = _rounded(points, 3 if self.fine else 1)
        steps = 10 if self.fine else 2
        for i in range(steps):
            self._add(outline, shade(colour, 0.55 + 0.25 * i / steps), None, z + depth * (0.5 - i / steps))
        self._add(outline, colour, None, z - depth / 2)
        middle = sum(y for _, y in outline) / len(outline)
        light = [(x, middle + 0.02 + (y - middle) * 0.55) for x, y in outline]
        self._add(light, shade(colour, 1.22), None, z - depth / 2)

    def frame(self, camera: Camera, size: tuple[int, int], fill: float, shift: tuple[float, float]) -> Frame:
        """Fit the drawing into a picture.

        Args:
            camera: who looks.
            size: width and height of the picture in pixels.
            fill: the share of the picture's width or height that the drawing takes; above 1 it is cut off.
            shift: moves it right and down, in shares of the picture's size.
        """
        seen = camera.project(np.array(self._points))
        low, high = seen.min(axis=0), seen.max(axis=0)
        scale = fill * min(size[0] / (high[0] - low[0]), size[1] / (high[1] - low[1]))
        middle = (low + high) / 2
        return Frame(
            float(scale),
            float(size[0] * (0.5 + shift[0]) - middle[0] * scale),
            float(size[1] * (0.5 + shift[1]) - middle[1] * scale),
        )

    def paint(self, draw: ImageDraw.ImageDraw, camera: Camera, frame: Frame) -> None:
        """Paint every shape in its colour."""
        self._paint(draw, frame.place(camera.project(np.array(self._points))), frame.scale, None)

    def shadow(self, draw: ImageDraw.ImageDraw, camera: Camera, frame: Frame, slant: float, strength: int) -> None:
        """Paint the shadow on the ground, with this grey value, for a light that slants so much towards the front."""
        points = np.array(self._points)
        height = points[:, 1]
        flat = np.stack([points[:, 0] + slant * height, np.zeros_like(height), points[:, 2] + 0.5 * height], axis=1)
        self._paint(draw, frame.place(camera.project(flat)), frame.scale, strength)

    def _paint(
        self, draw: ImageDraw.ImageDraw, places: list[tuple[float, float]], scale: float, grey: int | None
    ) -> None:
        for shape in self._shapes:
            xy = places[shape.start : shape.stop]
            colour = shape.colour if grey is None else grey
            if shape.width is None:
                draw.polygon(xy, fill=colour)
                continue
            width = max(1, round(shape.width * scale))
            draw.line(xy, fill=colour, width=width, joint="curve" if width > 3 and len(xy) > 2 else None)
            if width > 3 and self.fine:
                for x, y in (xy[0], xy[-1]):
                    draw.circle((x, y), width / 2 - 0.5, fill=colour)


@dataclass(frozen=True)
class Frame:
    """Where the camera's plane lies in a picture: pixels a unit, and the origin's place in pixels."""

    scale: float
    left: float
    top: float

    def scaled(self, factor: float) -> Frame:
        """The same place in a picture that is so many times as large."""
        return Frame(self.scale * factor, self.left * factor, self.top * factor)

    def place(self, seen: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
        """Projected points (N, 2) as pixel coordinates."""
        placed: list[tuple[float, float]] = list(map(tuple, (seen * self.scale + (self.left, self.top)).tolist()))
        return placed


def _rounded(points: Sequence[Point], rounds: int) -> list[tuple[float, float]]:
    """A closed outline with its corners cut off so many times (Chaikin 1974)."""
    outline = [(p[0], p[1]) for p in points]
    for _ in range(rounds):
        following = outline[1:] + outline[:1]
        outline = [
            corner
            for (x0, y0), (x1, y1) in zip(outline, following, strict=True)
            for corner in (
                (0.75 * x0 + 0.25 * x1, 0.75 * y0 + 0.25 * y1),
                (0.25 * x0 + 0.75 * x1, 0.25 * y0 + 0.75 * y1),
            )
        ]
    return outline
