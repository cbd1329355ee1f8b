"""Motorcycles: small thick wheels with large hubs, and a mass of engine, tank and bodywork between them.

Varied: five kinds (sport with a fairing, naked, cruiser, dirt bike, scooter), wheel size, tyre width, rims, how
much bodywork there is and in which second colour, exhaust, handlebars, seat, mudguards, mirrors, stand, the colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scones_ml.dataset.synthetic.palette import Colour, dark, metal, paint, shade
from scones_ml.dataset.synthetic.rider import add_rider

if TYPE_CHECKING:
    import random

    from scones_ml.dataset.synthetic.solid import Drawing

__all__ = ["add_motorcycle"]

_KINDS = ("sport", "naked", "cruiser", "dirt", "scooter")
_WEIGHTS = (28, 20, 26, 17, 9)  # percent: common kinds most, rare ones often enough to be learned
Spot = tuple[float, float]


@dataclass(frozen=True)
class _Build:
    """Measures and colours of one motorcycle, shared by its parts."""

    kind: str
    rear: Spot
    front: Spot
    rear_radius: float
    radius: float
    thick: float
    front_thick: float
    head: Spot
    steer: float
    body: Colour
    second: Colour
    black: Colour
    steel: Colour


def add_motorcycle(drawing: Drawing, rng: random.Random) -> None:
    """Add a random motorcycle, about one unit long, standing on the ground."""
    build = _build(rng)
    _add_wheels(drawing, rng, build)
    _add_fork(drawing, rng, build)
    if build.kind == "scooter":
        _add_scooter_body(drawing, rng, build)
    else:
        _add_engine(drawing, rng, build)
        _add_exhaust(drawing, rng, build)
        _add_seat_and_tail(drawing, rng, build)
        _add_tank(drawing, rng, build)
    if build.kind == "sport":
        _add_fairing(drawing, rng, build)
    elif build.kind in ("cruiser", "naked") and rng.random() < 0.25:
        _add_luggage(drawing, rng, build)
    _add_guards(drawing, rng, build)
    hand = _add_handlebar(drawing, rng, build)
    if rng.random() < 0.4:
        x = rng.uniform(-0.08, 0.0)
        drawing.line([(x, 0.12), (x - 0.05, 0.0)], build.black, 0.018, -0.06)
    if rng.random() < 0.17:
        add_rider(drawing, rng, (-0.13, 0.4), hand, (0.0, 0.13), helmet=0.9)


def _build(rng: random.Random) -> _Build:
    kind = rng.choices(_KINDS, _WEIGHTS)[0]
    radius = {"dirt": 0.17, "scooter": 0.115, "cruiser": 0.155}.get(kind, 0.15) * rng.uniform(0.9, 1.08)
    rear_radius = radius * rng.uniform(0.95, 1.05)
    base = 0.31 + rng.uniform(-0.02, 0.03)
    rake = {"dirt": 0.14, "scooter": 0.1}.get(kind, 0.12) + rng.uniform(-0.01, 0.02)
    thick = {"dirt": 0.042, "sport": 0.055}.get(kind, 0.05) * rng.uniform(0.8, 1.3)
    front_thick = thick
    if kind == "cruiser":  # from the heavy tourer to the chopper with its long fork and its thin front wheel
        stretch = rng.uniform(0, 1) ** 2
        base, rake = base + 0.04 + 0.07 * stretch, 0.14 + 0.14 * stretch
        radius, rear_radius = radius * (1 + 0.2 * stretch), rear_radius * rng.uniform(0.85, 1.0)
        front_thick = thick * (1 - 0.55 * stretch)
    elif kind != "scooter" and rng.random() < 0.15:  # pocket bikes and monkey bikes
        radius, rear_radius = 0.78 * radius, 0.78 * rear_radius
    body = paint(rng)
    return _Build(
        kind=kind,
        rear=(-base, rear_radius),
        front=(base, radius),
        rear_radius=rear_radius,
        radius=radius,
        thick=thick,
        front_thick=front_thick,
        head=(base - rake, rng.uniform(0.43, 0.48) + (0.05 if kind == "dirt" else 0.0)),
        steer=rng.gauss(0, 0.3) if rng.random() < 0.6 else 0.0,
        body=body,
        second=rng.choice((paint(rng), (240, 240, 240), dark(rng), body)),
        black=dark(rng),
        steel=metal(rng) if kind != "cruiser" else shade(metal(rng), 1.25),
    )


def _add_wheels(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    rim = build.steel if rng.random() < 0.55 else rng.choice((build.black, build.body, paint(rng)))
    plain = rng.random() < 0.2
    wire = build.kind in ("dirt", "cruiser") and rng.random() < 0.7
    phase = rng.random()
    number = rng.choice((8, 10, 14)) if wire else rng.choice((2, 3, 3, 4))
    angles = [phase + math.pi * i / number for i in range(number)]
    for hub, radius, thick, steer in (
        (build.rear, build.rear_radius, build.thick, 0.0),
        (build.front, build.radius, build.front_thick, build.steer),
    ):
        inner = radius - thick
        half = thick * 0.55
        for z in (half, half / 2, 0.0):
            drawing.ring(hub, radius, thick, shade(build.black, 0.7), z, steer)
        if plain:
            drawing.plate(hub, inner, rim, 0, steer)
        drawing.spokes(hub, inner, angles, rim, 0.004 if wire else 0.022, steer)
        drawing.ring(hub, radius, thick, build.black, -half, steer)
        drawing.ring(hub, inner + 0.004, 0.016, rim, -half, steer)
        drawing.ring(hub, inner * 0.66, inner * 0.22, shade(build.steel, 1.1), -half, steer)
        drawing.plate(hub, inner * 0.24, build.steel, -half, steer)


def _add_fork(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    colour = build.steel if rng.random() < 0.6 else rng.choice((build.black, (200, 160, 60)))
    width = rng.uniform(0.022, 0.036)
    for z in (0.05, -0.05):
        tone = shade(colour, 0.7) if z > 0 else colour
        drawing.line([build.head, build.front], tone, width, z)
        middle = ((build.head[0] + build.front[0]) / 2, (build.head[1] + build.front[1]) / 2)
        drawing.line([middle, build.front], shade(tone, 0.8), width * 1.35, z)


def _add_engine(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    def near(x: float, y: float) -> Spot:
        return x + rng.gauss(0, 0.015), y + rng.gauss(0, 0.01)

    low = 0.17 if build.kind == "dirt" else 0.1
    drawing.line([(-0.1, low + 0.08), build.rear], build.black if rng.random() < 0.6 else build.steel, 0.036, -0.03)
    drawing.line(
        [(-0.12, 0.33), (build.rear[0] + 0.04, build.rear[1] + 0.02)], rng.choice((build.black, paint(rng))), 0.02
    )
    frame = build.body if rng.random() < 0.35 else build.black
    drawing.line([build.head, (0.14, 0.16), (0.08, low)], frame, 0.028)
    block = [near(-0.16, low), near(0.12, low), near(0.17, 0.22), near(0.12, 0.34), near(-0.14, 0.33)]
    drawing.body(block, build.black, 0.14)
    leans = (-0.07, 0.07) if build.kind == "cruiser" else (rng.uniform(-0.02, 0.04),)
    for lean in leans:  # a cruiser has two cylinders that stand apart
        _add_cylinder(drawing, rng.choice((build.steel, shade(build.black, 1.15))), lean)
    case = metal(rng)
    drawing.disc(near(-0.07, low + 0.07), rng.uniform(0.04, 0.06), case, -0.08)
    drawing.disc(near(0.03, low + 0.06), rng.uniform(0.025, 0.05), shade(case, 0.85), -0.08)
    _add_details(drawing, rng, build, rng.randint(2, 9))


def _add_cylinder(drawing: Drawing, colour: Colour, lean: float) -> None:
    x = 0.02 + lean
    drawing.body([(x - 0.05, 0.18), (x + 0.05, 0.18), (x + 0.05 + lean, 0.31), (x - 0.05 + lean, 0.31)], colour, 0.1)
    for i in range(4):
        y, shift = 0.205 + i * 0.025, lean * i * 0.2
        drawing.line([(x - 0.055 + shift, y), (x + 0.055 + shift, y)], shade(colour, 0.55), 0.007, -0.06)


def _add_details(drawing: Drawing, rng: random.Random, build: _Build, number: int) -> None:
    """Add bolts, hoses, highlights and shadows to the engine."""
    for _ in range(number):
        x, y = rng.uniform(-0.2, 0.18), rng.uniform(0.1, 0.34)
        colour = rng.choice((metal(rng), build.steel, (250, 250, 250), build.black, build.body))
        if rng.random() < 0.5:
            drawing.disc((x, y), rng.uniform(0.008, 0.026), colour, -0.08)
        else:
            end = (x + rng.gauss(0, 0.07), y + rng.gauss(0, 0.05))
            drawing.line([(x, y), end], colour, rng.uniform(0.006, 0.02), -0.08)


def _add_exhaust(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    pipe = build.steel if rng.random() < 0.7 else build.black
    high = build.kind == "dirt" or rng.random() < 0.25
    end = (build.rear[0] - rng.uniform(-0.02, 0.1), rng.uniform(0.26, 0.36) if high else rng.uniform(0.09, 0.16))
    bend = [(0.12, 0.27), (0.16, 0.17), (0.1, 0.1), (-0.12, 0.11 if not high else 0.17)]
    drawing.line([*bend, end], pipe, 0.022, -0.08)
    muffler = ((bend[-1][0] + end[0]) / 2 - 0.03, (bend[-1][1] + end[1]) / 2)
    drawing.line([muffler, end], shade(pipe, 1.15), rng.uniform(0.04, 0.06), -0.09)


def _add_seat_and_tail(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    rise = {"sport": 0.1, "naked": 0.05, "cruiser": -0.03, "dirt": 0.08}[build.kind] + rng.gauss(0, 0.015)
    end = build.rear[0] - rng.uniform(-0.02, 0.1)
    tail = build.body if rng.random() < 0.8 else build.second
    if build.kind != "cruiser" or rng.random() < 0.4:
        drawing.body(
            [(-0.08, 0.37), (end, 0.39 + rise), (end - 0.01, 0.36 + rise), (-0.2, 0.26), (-0.08, 0.28)], tail, 0.1
        )
    leather = dark(rng) if rng.random() < 0.85 else paint(rng)
    if build.kind == "cruiser":
        seat = [(0.0, 0.4), (-0.1, 0.34), (-0.2, 0.36), (end, 0.41), (end, 0.36), (-0.2, 0.31), (0.0, 0.33)]
    else:
        seat = [
            (0.02, 0.41),
            (-0.12, 0.385),
            (end + 0.05, 0.43 + rise),
            (end + 0.06, 0.38 + rise),
            (-0.14, 0.34),
            (0.0, 0.36),
        ]
    drawing.body(seat, leather, 0.1)
    if rng.random() < 0.5:
        drawing.disc((end - 0.005, 0.36 + rise), 0.018, (200, 30, 30), -0.03)


def _add_tank(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    top = {"sport": 0.48, "naked": 0.48, "cruiser": 0.46, "dirt": 0.47}[build.kind] + rng.gauss(0, 0.012)
    x = build.head[0] - 0.02
    outline = [(-0.05, 0.36), (0.0, top - 0.02), (x - 0.06, top), (x, top - 0.05), (x - 0.02, 0.35), (0.05, 0.33)]
    drawing.body(outline, build.body, 0.15)
    if build.second != build.body and rng.random() < 0.5:
        drawing.line([(0.0, 0.39), (x - 0.04, 0.41)], build.second, 0.03, -0.08)
    if build.kind == "dirt":
        shroud = [(0.04, 0.4), (x + 0.02, 0.42), (x + 0.05, 0.33), (0.1, 0.25)]
        drawing.body(shroud, build.body if rng.random() < 0.7 else build.second, 0.18)


def _add_fairing(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    x, y = build.head
    low = rng.choice((0.1, 0.1, 0.2))
    side = [
        (x - 0.12, y - 0.06),
        (x + 0.02, y + 0.05),
        (x + 0.13, y - 0.05),
        (x + 0.12, y - 0.13),
        (x + 0.0, 0.22),
        (0.1, low),
        (-0.14, low),
        (-0.08, 0.24),
        (0.02, 0.3),
    ]
    drawing.body(side, build.body, 0.18)
    _add_livery(drawing, rng, build, low)
    glass = shade(build.black, rng.uniform(1.0, 1.6))
    drawing.body([(x - 0.03, y + 0.03), (x - 0.02, y + 0.11), (x + 0.03, y + 0.1), (x + 0.11, y - 0.02)], glass, 0.12)
    drawing.disc((x + 0.1, y - 0.07), 0.026, (245, 245, 225), -0.07, stretch=1.5)


def _add_livery(drawing: Drawing, rng: random.Random, build: _Build, low: float) -> None:
    """Add stripes and numbers to a fairing, in the second colour, white and black."""
    x = build.head[0]
    colours = (build.second, build.second, (245, 245, 245), build.black, paint(rng))
    stripes: tuple[list[Spot], ...] = (
        [(x - 0.1, 0.33), (x + 0.1, 0.36), (x + 0.02, 0.26), (-0.02, 0.2)],
        [(-0.1, low + 0.03), (0.06, low + 0.03), (0.1, low + 0.07), (-0.08, low + 0.08)],
        [(x - 0.08, 0.38), (x + 0.06, 0.44), (x + 0.1, 0.41), (x - 0.02, 0.35)],
        [(-0.05, 0.24), (0.1, 0.2), (0.12, 0.16), (-0.08, 0.19)],
    )
    for stripe in stripes:
        if rng.random() < 0.45:
            drawing.polygon(stripe, rng.choice(colours), -0.095)
    if rng.random() < 0.35:
        drawing.disc((rng.uniform(0.0, 0.08), rng.uniform(0.2, 0.28)), 0.04, rng.choice(colours), -0.095)


def _add_luggage(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    colour = build.body if rng.random() < 0.5 else build.black
    x, y = build.rear[0], 2 * build.rear_radius + 0.06
    drawing.body([(x - 0.1, y), (x + 0.1, y), (x + 0.08, y - 0.15), (x - 0.1, y - 0.15)], colour, 0.1, -0.08)
    if rng.random() < 0.5:  # a windscreen
        x, y = build.head
        drawing.body([(x - 0.05, y + 0.2), (x, y + 0.2), (x + 0.08, y - 0.02), (x + 0.03, y)], (190, 205, 215), 0.16)


def _add_guards(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    colour = build.body if rng.random() < 0.65 else rng.choice((build.black, build.steel))
    if build.kind == "dirt":
        x, y = build.front[0] - 0.06, 2 * build.radius + 0.06
        drawing.body([(x - 0.08, y - 0.02), (x, y + 0.03), (x + 0.2, y), (x, y - 0.01)], colour, 0.1)
    elif rng.random() < 0.85:
        drawing.arc(build.front, build.radius + 0.014, (rng.uniform(25, 60), 165), colour, 0.034, build.steer)
    if build.kind in ("cruiser", "scooter", "naked") and rng.random() < 0.7:
        drawing.arc(build.rear, build.rear_radius + 0.02, (30, rng.uniform(150, 200)), colour, 0.045)


def _add_handlebar(drawing: Drawing, rng: random.Random, build: _Build) -> Spot:
    """Add bar, lamp and mirrors; returns the position of the hands."""
    x, y = build.head
    rise = {"sport": 0.02, "naked": 0.06, "cruiser": rng.uniform(0.08, 0.2), "dirt": 0.07, "scooter": 0.06}[build.kind]
    back = {"cruiser": rng.uniform(0.04, 0.12), "dirt": 0.02}.get(build.kind, 0.04)
    bar = build.black if rng.random() < 0.6 else build.steel
    wide = rng.uniform(0.1, 0.16)
    end = (x - back, y + rise)
    for z in (wide, -wide):
        drawing.line([(x, y, 0), (x, y + rise, z * 0.5), (end[0], end[1], z)], bar, 0.018)
        drawing.line([(end[0] + 0.02, end[1], z), (end[0] - 0.03, end[1] - 0.004, z)], build.black, 0.028)
        if rng.random() < 0.5 and build.kind != "dirt":
            drawing.line([(end[0] + 0.02, end[1], z * 0.9), (end[0] + 0.03, end[1] + 0.08, z)], build.black, 0.008)
            drawing.disc((end[0] + 0.03, end[1] + 0.09), 0.026, shade(build.black, 1.3), z, stretch=1.3)
    if build.kind in ("naked", "cruiser"):
        size = rng.uniform(0.035, 0.055)
        drawing.disc((x + 0.05, y - 0.02), size, build.black if rng.random() < 0.5 else build.steel, 0.02)
        drawing.disc((x + 0.06, y - 0.02), size * 0.8, (245, 242, 220), -0.01)
    elif build.kind == "dirt" and rng.random() < 0.7:
        drawing.body(
            [(x + 0.01, y + 0.03), (x + 0.06, y + 0.02), (x + 0.08, y - 0.09), (x + 0.03, y - 0.08)], build.second, 0.1
        )
    return end


def _add_scooter_body(drawing: Drawing, rng: random.Random, build: _Build) -> None:
    x, y = build.head
    back = build.rear[0]
    drawing.body(
        [(back - 0.08, 0.2), (back - 0.05, 0.33), (-0.1, 0.36), (-0.03, 0.3), (-0.02, 0.14), (back + 0.04, 0.14)],
        build.body,
        0.16,
    )
    drawing.body([(-0.06, 0.15), (0.18, 0.15), (0.2, 0.09), (-0.08, 0.09)], build.second, 0.14)
    shield = [(x - 0.03, y), (x + 0.03, y + 0.02), (x + 0.09, 0.3), (x + 0.05, 0.17), (0.17, 0.09), (0.13, 0.14)]
    drawing.body(shield, build.body, 0.2)
    leather = dark(rng) if rng.random() < 0.75 else (150, 95, 55)
    drawing.body([(back - 0.04, 0.4), (-0.08, 0.42), (0.0, 0.38), (-0.03, 0.34), (back - 0.03, 0.34)], leather, 0.12)
    drawing.body([(x - 0.04, y - 0.02), (x - 0.03, y + 0.07), (x + 0.04, y + 0.08), (x + 0.06, y)], build.body, 0.1)
    drawing.disc((x + 0.04, y + 0.04), 0.032, (245, 242, 220), -0.06)
    drawing.line([(back + 0.05, 0.1), (back - 0.06, 0.11)], build.steel, 0.04, -0.09)
