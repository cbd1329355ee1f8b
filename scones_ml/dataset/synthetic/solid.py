"""Drawings in three dimensions: shapes are collected, projected by a camera, fitted into an image and painted.

A world unit is about the length of a vehicle: x from its tail to its front, y up from the ground, z away from the
viewer. Shapes are painted in the order of addition, so near shapes are added last.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.dataset.synthetic.palette import Colour, shade

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from PIL import ImageDraw

__all__ = ["Camera", "Drawing", "Point", "View"]

Point = tuple[float, float] | tuple[float, float, float]


def _unit_circle(n: int) -> npt.NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, n + 1)
    return np.stack([np.cos(angles), np.sin(angles), np.zeros(n + 1)], axis=1)


_COARSE_CIRCLE, _FINE_CIRCLE = _unit_circle(24), _unit_circle(128)  # corners, in thumbnails and larger images


@dataclass(frozen=True)
class Camera:
    """Position of the viewer.

    Attributes:
        yaw: rotation of the vehicle's front towards the viewer, in radians; 0 is the side view.
        elevation: downward angle of view, in radians.
        distance: distance of the viewer, in vehicle lengths; small values give a strong perspective.
        roll: tilt of the image, in radians.
        mirrored: whether the vehicle faces left.
    """

    yaw: float = 0.0
    elevation: float = 0.0
    distance: float = 4.0
    roll: float = 0.0
    mirrored: bool = False

    def project(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Project world points (N, 3) to points (N, 2) of a plane with y downwards, of arbitrary scale and origin."""
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
    """Consecutive points of the drawing: a line of this width, or a filled polygon if the width is None."""

    start: int
    stop: int
    colour: Colour
    width: float | None


class Drawing:
    """A list of shapes in painting order.

    Args:
        fine: more points on curves and more layers in solids, for images larger than thumbnails.
    """

    def __init__(self, *, fine: bool = False) -> None:
        self.fine = fine
        self.shapes: list[_Shape] = []
        self._coordinates = array("d")
        self._circle = _FINE_CIRCLE if fine else _COARSE_CIRCLE

    @property
    def points(self) -> npt.NDArray[np.float64]:
        """All points (N, 3), in the order of the shapes."""
        return np.array(self._coordinates).reshape(-1, 3)

    def line(self, points: Iterable[Point], colour: Colour, width: float, z: float = 0.0) -> None:
        """Add a tube along the points."""
        self._add(points, colour, width, z)

    def polygon(self, points: Iterable[Point], colour: Colour, z: float = 0.0) -> None:
        """Add a flat sheet."""
        self._add(points, colour, None, z)

    def disc(self, centre: Point, radius: float, colour: Colour, z: float = 0.0, stretch: float = 1.0) -> None:
        """Add a filled circle, or an ellipse ``stretch`` times as long as high."""
        circle = self._circle * (stretch * radius, radius, 0)
        self._add_array(_moved(circle, centre[0], centre[1], z), colour, None)

    def plate(self, hub: Point, radius: float, colour: Colour, z: float = 0.0, steer: float = 0.0) -> None:
        """Add a filled circle rotated by ``steer`` radians about the vertical."""
        self._add_array(_moved(_steered(self._circle, radius, steer), hub[0], hub[1], z), colour, None)

    def ring(self, hub: Point, radius: float, width: float, colour: Colour, z: float = 0.0, steer: float = 0.0) -> None:
        """Add a ring of this width inside the radius, rotated by ``steer``."""
        outer = _steered(self._circle, radius, steer)
        rings = np.concatenate([outer, outer[::-1] * ((radius - width) / radius)])
        self._add_array(_moved(rings, hub[0], hub[1], z), colour, None)

    def arc(
        self, hub: Point, radius: float, turn: tuple[float, float], colour: Colour, width: float, steer: float = 0.0
    ) -> None:
        """Add an arc between two angles in degrees, from the front over the top."""
        angles = np.radians(np.linspace(*turn, 33 if self.fine else 9))
        part = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
        self._add_array(_moved(_steered(part, radius, steer), hub[0], hub[1], 0), colour, width)

    def spokes(
        self, hub: Point, radius: float, angles: Iterable[float], colour: Colour, width: float, steer: float = 0.0
    ) -> None:
        """Add diameters of a wheel at these angles, in radians."""
        for angle in angles:
            x, y = radius * math.cos(angle), radius * math.sin(angle)
            along, aside = x * math.cos(steer), x * math.sin(steer)
            ends: list[Point] = [(hub[0] - along, hub[1] - y, aside), (hub[0] + along, hub[1] + y, -aside)]
            self._add(ends, colour, width, 0.0)

    def body(self, points: Sequence[Point], colour: Colour, depth: float, z: float = 0.0) -> None:
        """Add a rounded solid of this depth, its far side and edge shaded, its upper part lit."""
        outline = _rounded(points, 3 if self.fine else 1)
        layers = 20 if self.fine else 2
        for i in range(layers):
            edge = shade(colour, 0.55 + 0.25 * i / layers)
            self._add_array(_moved(outline, 0, 0, z + depth * (0.5 - i / layers)), edge, None)
        outline = _moved(outline, 0, 0, z - depth / 2)
        self._add_array(outline, colour, None)
        middle = float(outline[:, 1].mean())
        bands = 4 if self.fine else 1
        for i in range(bands):
            height = 0.55 - 0.1 * i
            light = _moved(outline * (1, height, 1), 0, middle * (1 - height) + 0.012 + 0.004 * i, 0)
            self._add_array(light, shade(colour, 1 + 0.24 * (i + 1) / bands), None)

    def _add(self, points: Iterable[Point], colour: Colour, width: float | None, z: float) -> None:
        start = len(self._coordinates) // 3
        for point in points:
            self._coordinates.extend((point[0], point[1], point[2] + z if len(point) == 3 else z))
        self.shapes.append(_Shape(start, len(self._coordinates) // 3, colour, width))

    def _add_array(self, points: npt.NDArray[np.float64], colour: Colour, width: float | None) -> None:
        start = len(self._coordinates) // 3
        self._coordinates.frombytes(points.tobytes())
        self.shapes.append(_Shape(start, start + len(points), colour, width))


class View:
    """A drawing projected by a camera and fitted into an image.

    Args:
        drawing: the shapes.
        camera: position of the viewer.
        size: width and height of the image, in pixels.
        fill: share of the image's width or height that the drawing fills; above 1 it is cut off.
        squeeze: maximum vertical stretch to fill the image better, 1 for none.
        shift: offset right and down, in shares of the image's size.
    """

    def __init__(
        self,
        drawing: Drawing,
        camera: Camera,
        size: tuple[int, int],
        fill: float,
        squeeze: float,
        shift: tuple[float, float],
    ) -> None:
        self._drawing, self._camera = drawing, camera
        self._points = drawing.points
        seen = camera.project(self._points)
        low, high = seen.min(axis=0), seen.max(axis=0)
        room = np.array(size) / (high - low)
        scale = float(min(room)) * fill
        self._scale = np.array([scale, max(scale, min(scale * squeeze, room[1] * fill))])
        self._origin = np.array(size) * (0.5 + np.array(shift)) - (low + high) / 2 * self._scale
        self._seen = seen

    def paint(self, draw: ImageDraw.ImageDraw) -> None:
        """Paint every shape in its colour."""
        self._paint(draw, self._seen * self._scale + self._origin, float(self._scale[0]), None)

    def paint_shadow(self, draw: ImageDraw.ImageDraw, zoom: float, slant: float, strength: int) -> None:
        """Paint the shadow on the ground as grey values.

        Args:
            draw: image ``zoom`` times as large as the view's.
            zoom: scale of the image.
            slant: length of the shadow of an object one unit high, towards the front.
            strength: grey value.
        """
        x, y, z = self._points.T
        flat = self._camera.project(np.stack([x + slant * y, np.zeros_like(y), z + 0.5 * y], axis=1))
        placed = (flat * self._scale + self._origin) * zoom
        self._paint(draw, placed, float(self._scale[0]) * zoom, strength)

    def _paint(
        self, draw: ImageDraw.ImageDraw, places: npt.NDArray[np.float64], scale: float, grey: int | None
    ) -> None:
        flat: list[float] = places.ravel().tolist()
        for shape in self._drawing.shapes:
            xy = flat[2 * shape.start : 2 * shape.stop]
            colour = shape.colour if grey is None else grey
            if shape.width is None:
                draw.polygon(xy, fill=colour)
                continue
            width = max(1, round(shape.width * scale))
            if width <= 3:
                draw.line(xy, fill=colour, width=width)
                continue
            draw.line(xy, fill=colour, width=width, joint="curve" if len(xy) > 4 else None)
            if self._drawing.fine:
                for x, y in (xy[:2], xy[-2:]):
                    draw.circle((x, y), width / 2 - 0.5, fill=colour)


def _moved(points: npt.NDArray[np.float64], x: float, y: float, z: float) -> npt.NDArray[np.float64]:
    moved: npt.NDArray[np.float64] = points + np.array((x, y, z))
    return moved


def _steered(circle: npt.NDArray[np.float64], radius: float, steer: float) -> npt.NDArray[np.float64]:
    """Scale points of a unit circle in the x-y plane, and rotate them about the vertical."""
    turned = circle * radius
    if steer:
        turned[:, 2] = -turned[:, 0] * math.sin(steer)
        turned[:, 0] *= math.cos(steer)
    return turned


def _rounded(points: Sequence[Point], rounds: int) -> npt.NDArray[np.float64]:
    """Smooth a closed outline by cutting corners ``rounds`` times (Chaikin 1974), as points (N, 3) with z = 0."""
    outline = np.array([(point[0], point[1], 0.0) for point in points])
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1).reshape(
            -1, 3
        )
    return outline
