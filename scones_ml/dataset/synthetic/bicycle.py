"""Bicycles: thin spoked wheels, an open frame, no engine.

Varied: seven kinds (city, road, mountain, step-through, child's, folding, penny-farthing), wheel size, tyre width,
spokes, tube width, frame angles, handlebars, mudguards, basket, panniers, lamp, stand, the pedals' place, the colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scones_ml.dataset.synthetic.palette import Colour, any_colour, dark, metal, paint, shade
from scones_ml.dataset.synthetic.rider import add_rider

if TYPE_CHECKING:
    import random

    from scones_ml.dataset.synthetic.solid import Drawing

__all__ = ["add_bicycle"]

_KINDS = ("city", "road", "mountain", "step-through", "child", "folding", "penny-farthing")
_WEIGHTS = (20, 22, 26, 14, 9, 4, 5)  # percent: common kinds most, rare ones often enough to be learned
Spot = tuple[float, float]


@dataclass(frozen=True)
class _Wheels:
    """Shared by both wheels: tyre, rim and spoke colours, number of spokes, widths in world units."""

    rubber: Colour
    rim: Colour
    spoke: Colour
    number: int
    tyre: float
    steer: float


def add_bicycle(drawing: Drawing, rng: random.Random) -> None:
    """Add a random bicycle, about one unit long, standing on the ground."""
    kind = rng.choices(_KINDS, _WEIGHTS)[0]
    if kind == "penny-farthing":
        _add_penny_farthing(drawing, rng)
    else:
        _add_safety(drawing, rng, kind)


def _wheels(rng: random.Random, kind: str) -> _Wheels:
    fat = {"mountain": 0.034, "child": 0.034, "road": 0.016}.get(kind, 0.022)
    rubber = dark(rng) if rng.random() < 0.85 else any_colour(rng)
    return _Wheels(
        rubber=rubber,
        rim=metal(rng) if rng.random() < 0.75 else paint(rng),
        spoke=metal(rng) if rng.random() < 0.8 else dark(rng),
        number=rng.choice((0, 3, 5, 7, 9, 12)),
        tyre=fat * rng.uniform(0.7, 1.4),
        steer=rng.gauss(0, 0.25) if rng.random() < 0.5 else 0.0,
    )


def _add_wheel(drawing: Drawing, rng: random.Random, hub: Spot, radius: float, wheels: _Wheels, steer: float) -> None:
    number = wheels.number * 2 if drawing.fine else wheels.number
    phase = rng.random()
    angles = [phase + math.pi * i / number for i in range(number)]
    drawing.spokes(hub, radius - wheels.tyre, angles, wheels.spoke, 0.003, steer)
    half = wheels.tyre / 2
    drawing.ring(hub, radius, wheels.tyre, shade(wheels.rubber, 0.8), half, steer)
    drawing.ring(hub, radius, wheels.tyre, wheels.rubber, -half, steer)
    drawing.ring(hub, radius - wheels.tyre, min(0.01, wheels.tyre / 2), wheels.rim, 0, steer)
    drawing.plate(hub, 0.018, wheels.spoke, 0, steer)


def _add_safety(drawing: Drawing, rng: random.Random, kind: str) -> None:
    small = {"child": 0.14, "folding": 0.125, "mountain": 0.2}.get(kind, 0.21)
    radius = small * rng.uniform(0.93, 1.07)
    base = rng.uniform(0.29, 0.33) if kind != "child" else rng.uniform(0.22, 0.27)
    wheels = _wheels(rng, kind)
    tube = rng.uniform(0.012, 0.03) * (1.3 if kind in ("mountain", "child") else 1.0)
    colour = paint(rng) if rng.random() < 0.85 else metal(rng)
    rear, front = (-base, radius), (base, radius)
    crank = (-0.05 + rng.gauss(0, 0.01), radius * rng.uniform(0.8, 1.0) if radius > 0.16 else radius * 1.05)
    high = {"child": 0.36, "folding": 0.5, "city": 0.5, "step-through": 0.5}.get(kind, 0.46) + rng.gauss(0, 0.015)
    saddle = (crank[0] - high * rng.uniform(0.18, 0.28), high + rng.uniform(0.02, 0.08))
    seat = (crank[0] + (saddle[0] - crank[0]) * 0.8, crank[1] + (saddle[1] - crank[1]) * 0.8)
    rake = rng.uniform(0.06, 0.11)
    head = (front[0] - rake, high * rng.uniform(0.92, 1.02))
    neck = (front[0] - rake * 0.8, head[1] - rng.uniform(0.05, 0.09))
    _add_chain(drawing, rng, crank, rear, colour, behind=True)
    _add_wheel(drawing, rng, rear, radius, wheels, 0.0)
    _add_wheel(drawing, rng, front, radius, wheels, wheels.steer)
    if (kind in ("city", "step-through", "folding") and rng.random() < 0.75) or rng.random() < 0.1:
        _add_mudguards(drawing, rng, rear, front, radius, colour, wheels.steer)
    _add_frame(drawing, rng, kind, (rear, front, crank, seat, head, neck), colour, tube)
    _add_chain(drawing, rng, crank, rear, colour, behind=False)
    black = dark(rng) if rng.random() < 0.75 else any_colour(rng)
    drawing.line([seat, saddle], metal(rng), tube * 0.8)
    _add_saddle(drawing, saddle, black)
    hand = _add_handlebar(drawing, rng, kind, head, black)
    _add_extras(drawing, rng, kind, rear, head, saddle, radius)
    if rng.random() < 0.2:
        add_rider(drawing, rng, (saddle[0] + 0.02, saddle[1] + 0.03), hand, (crank[0] + 0.03, crank[1] - 0.07))


def _add_frame(
    drawing: Drawing, rng: random.Random, kind: str, joints: tuple[Spot, ...], colour: Colour, tube: float
) -> None:
    rear, front, crank, seat, head, neck = joints
    dark_side = shade(colour, 0.75)
    drawing.line([rear, seat], dark_side, tube * 0.6, 0.02)
    drawing.line([rear, crank], dark_side, tube * 0.7, 0.02)
    fork = metal(rng) if kind == "mountain" and rng.random() < 0.6 else colour
    crown = (neck[0] + 0.01, neck[1] - 0.02)
    rounder = (front[0] - 0.03, front[1] + 0.06)
    for z in (0.025, -0.025):
        drawing.line(
            [crown, rounder, front], fork if z < 0 else shade(fork, 0.7), tube * (1.1 if fork != colour else 0.8), z
        )
    drawing.line([rear, seat], colour, tube * 0.6, -0.02)
    drawing.line([rear, crank], colour, tube * 0.7, -0.02)
    drawing.line([crank, seat], colour, tube)
    if kind == "step-through" or (kind == "child" and rng.random() < 0.5):
        low = (crank[0] + 0.06, crank[1] + 0.07)
        drawing.line([neck, ((neck[0] + low[0]) / 2, (neck[1] + low[1]) / 2 - 0.02), low, crank], colour, tube * 1.1)
        if rng.random() < 0.7:
            middle = ((crank[0] + seat[0]) / 2, (crank[1] + seat[1]) / 2 + 0.03)
            drawing.line([(head[0], head[1] - 0.02), (low[0] + 0.02, low[1] + 0.06), middle], colour, tube)
    elif kind == "folding":
        drawing.line([neck, (crank[0] + 0.02, crank[1] + 0.04)], colour, tube * 1.8)
    else:
        drawing.line([crank, neck], colour, tube * 1.15)
        drop = rng.uniform(0.0, 0.08) if kind == "mountain" else rng.uniform(-0.01, 0.02)
        drawing.line([(seat[0], seat[1] - drop), (head[0], head[1] - 0.01)], colour, tube)
    drawing.line([neck, head], shade(colour, 0.9), tube * 1.4)


def _add_chain(drawing: Drawing, rng: random.Random, crank: Spot, rear: Spot, colour: Colour, *, behind: bool) -> None:
    angle = rng.uniform(0, 2 * math.pi)
    side = 1 if behind else -1
    foot = (crank[0] + side * 0.08 * math.cos(angle), crank[1] + side * 0.08 * math.sin(angle))
    black = dark(rng)
    z = 0.05 if behind else -0.05
    if not behind:
        size = rng.uniform(0.03, 0.05)
        if rng.random() < 0.2:
            drawing.body(
                [
                    (crank[0] + 0.06, crank[1] + 0.05),
                    (rear[0], rear[1] + 0.03),
                    (rear[0], rear[1] - 0.03),
                    (crank[0] + 0.06, crank[1] - 0.05),
                ],
                black if rng.random() < 0.6 else colour,
                0.01,
                -0.03,
            )
        else:
            for dy in (size, -size):
                drawing.line([(crank[0], crank[1] + dy), (rear[0], rear[1] + dy * 0.5)], black, 0.004, -0.03)
            drawing.ring(crank, size, size * 0.35, metal(rng), -0.03)
            drawing.disc(rear, 0.02, metal(rng), -0.03)
    drawing.line([crank, foot], metal(rng), 0.012, z)
    drawing.line([(foot[0] - 0.03, foot[1]), (foot[0] + 0.03, foot[1])], black, 0.016, z)


def _add_mudguards(
    drawing: Drawing, rng: random.Random, rear: Spot, front: Spot, radius: float, colour: Colour, steer: float
) -> None:
    guard = colour if rng.random() < 0.6 else metal(rng)
    drawing.arc(rear, radius + 0.012, (rng.uniform(60, 90), 200), guard, 0.014)
    drawing.arc(front, radius + 0.012, (rng.uniform(20, 50), 165), guard, 0.014, steer)


def _add_saddle(drawing: Drawing, at: Spot, colour: Colour) -> None:
    x, y = at
    drawing.body(
        [
            (x - 0.07, y + 0.025),
            (x - 0.02, y + 0.015),
            (x + 0.08, y + 0.02),
            (x + 0.08, y),
            (x, y - 0.012),
            (x - 0.06, y - 0.02),
        ],
        colour,
        0.05,
    )


def _add_handlebar(drawing: Drawing, rng: random.Random, kind: str, head: Spot, grip: Colour) -> Spot:
    """Add stem and bar; returns the position of the hands."""
    steel = metal(rng) if rng.random() < 0.6 else dark(rng)
    x, y = head
    wide = rng.uniform(0.08, 0.15)
    if kind == "road":
        top = (x + 0.04, y + rng.uniform(0.01, 0.04))
        drawing.line([head, (x - 0.01, top[1]), top], steel, 0.018)
        for z in (wide * 0.7, -wide * 0.7):
            bend = [(top[0], top[1], 0), (top[0] + 0.07, top[1] - 0.005, z), (top[0] + 0.09, top[1] - 0.04, z)]
            drawing.line([*bend, (top[0] + 0.06, top[1] - 0.085, z), (top[0] - 0.01, top[1] - 0.08, z)], grip, 0.016)
        return top[0] + 0.05, top[1]
    rise = rng.uniform(0.0, 0.06) if kind == "mountain" else rng.uniform(0.04, 0.14)
    if kind in ("child", "folding"):
        rise = rng.uniform(0.08, 0.2)
    back = rng.uniform(-0.02, 0.03) if kind == "mountain" else rng.uniform(0.0, 0.1)
    top = (x - 0.01, y + rise)
    end = (top[0] - back, top[1] + rng.uniform(-0.01, 0.02))
    drawing.line([head, top], steel, 0.02)
    for z in (wide, -wide):
        drawing.line([(top[0], top[1], 0), (top[0] + 0.02, top[1] + 0.02, z * 0.6), (end[0], end[1], z)], steel, 0.014)
        drawing.line([(end[0] + 0.03, end[1] + 0.006, z), (end[0] - 0.02, end[1], z)], grip, 0.022)
    return end


def _add_extras(
    drawing: Drawing, rng: random.Random, kind: str, rear: Spot, head: Spot, saddle: Spot, radius: float
) -> None:
    top = 2 * radius + 0.03
    if rng.random() < (0.5 if kind in ("city", "step-through") else 0.1):
        steel = dark(rng) if rng.random() < 0.6 else metal(rng)
        drawing.line([(rear[0] - 0.1, top), (saddle[0] - 0.02, top + 0.01)], steel, 0.014)
        drawing.line([(rear[0] - 0.06, top), rear], steel, 0.008)
        if rng.random() < 0.4:
            x = rear[0]
            bag = [(x - 0.1, top), (x + 0.06, top), (x + 0.05, top - 0.17), (x - 0.09, top - 0.17)]
            drawing.body(bag, any_colour(rng), 0.08, -0.08)
    if rng.random() < (0.3 if kind in ("city", "step-through") else 0.06):
        x, y = head[0] + 0.03, head[1] + 0.01
        weave = (170 + rng.randint(-60, 40), 130 + rng.randint(-50, 40), 85 + rng.randint(-40, 60))
        drawing.body([(x, y + 0.09), (x + 0.16, y + 0.09), (x + 0.13, y - 0.05), (x + 0.01, y - 0.05)], weave, 0.16)
    elif rng.random() < 0.25:
        drawing.disc((head[0] + 0.04, head[1] - 0.01), 0.025, (240, 235, 210))
    if rng.random() < 0.3:
        drawing.line([(rear[0] + 0.1, rear[1] * 0.9), (rear[0] + 0.07, 0.0)], dark(rng), 0.012, -0.04)
    if kind == "child" and rng.random() < 0.5:
        drawing.line([rear, (rear[0] - 0.02, 0.05)], metal(rng), 0.014, -0.09)
        drawing.disc((rear[0] - 0.02, 0.05), 0.05, dark(rng), -0.1)
        drawing.disc((rear[0] - 0.02, 0.05), 0.02, any_colour(rng), -0.1)
    if rng.random() < 0.12:
        drawing.line([(0.06, 0.27), (0.1, 0.36)], any_colour(rng), 0.035)


def _add_penny_farthing(drawing: Drawing, rng: random.Random) -> None:
    large, little = rng.uniform(0.33, 0.4), rng.uniform(0.1, 0.14)
    black, steel = dark(rng), metal(rng)
    wheels = _Wheels(
        black, steel, steel if rng.random() < 0.6 else black, rng.choice((6, 8, 10)), rng.uniform(0.014, 0.024), 0.0
    )
    front, rear = (0.12, large), (-0.36 - rng.uniform(0, 0.06), little)
    _add_wheel(drawing, rng, rear, little, wheels, 0.0)
    _add_wheel(drawing, rng, front, large, wheels, wheels.steer)
    crown = (front[0] - 0.02, 2 * large + 0.04)
    drawing.arc((front[0] - 0.02, large - 0.02), large + 0.05, (92, 178), black, 0.022)
    drawing.line([(front[0] - large - 0.07, large), rear], black, 0.02)
    for z in (0.03, -0.03):
        drawing.line([crown, front], black, 0.016, z)
    drawing.line(
        [(crown[0], crown[1], 0.14), (crown[0] + 0.01, crown[1] + 0.04, 0), (crown[0], crown[1], -0.14)], steel, 0.018
    )
    _add_saddle(drawing, (crown[0] - 0.13, crown[1] + 0.01), dark(rng))
    _add_chain(drawing, rng, front, front, black, behind=True)
    if rng.random() < 0.15:
        add_rider(drawing, rng, (crown[0] - 0.11, crown[1] + 0.04), crown, (front[0], front[1] - 0.06))
