"""Riders and bystanders, added to both kinds of vehicle, so that a person does not predict the class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scones_ml.dataset.synthetic.palette import any_colour, dark, paint, shade, skin

if TYPE_CHECKING:
    import random

    from scones_ml.dataset.synthetic.solid import Drawing

__all__ = ["add_bystander", "add_rider"]

Spot = tuple[float, float]


def add_rider(drawing: Drawing, rng: random.Random, hip: Spot, hand: Spot, foot: Spot, *, helmet: float = 0.5) -> None:
    """Add a person sitting at ``hip``, with hands and feet in place; ``helmet`` is a probability."""
    shirt = any_colour(rng) if rng.random() < 0.7 else dark(rng)
    trousers = dark(rng) if rng.random() < 0.6 else any_colour(rng)
    tone = skin(rng)
    shoe = dark(rng)
    lean = rng.uniform(0.0, 0.9)
    long = rng.uniform(0.23, 0.28)
    shoulder = (hip[0] + math.sin(lean) * long, hip[1] + math.cos(lean) * long)
    bare = rng.random() < 0.3
    for z in (0.06, -0.06):
        knee = (max(hip[0], foot[0]) + rng.uniform(0.08, 0.14), (hip[1] + foot[1]) / 2 + rng.uniform(0.02, 0.08))
        leg = shade(trousers, 0.75 if z > 0 else 1.0)
        elbow = ((shoulder[0] + hand[0]) / 2 - 0.01, (shoulder[1] + hand[1]) / 2 - 0.04)
        arm = shade(shirt, 0.75 if z > 0 else 1.0)
        drawing.line([hip, knee], leg, 0.085, z)
        drawing.line([knee, foot], tone if bare else leg, 0.06, z)
        drawing.line([foot, (foot[0] + 0.06, foot[1] - 0.01)], shoe, 0.04, z)
        if z > 0:
            drawing.line([shoulder, elbow, hand], arm, 0.05, z)
            drawing.body(_trunk(hip, shoulder), shirt, 0.12)
        else:
            drawing.line([shoulder, elbow], shade(arm, 0.9), 0.06, z)
            drawing.line([elbow, hand], tone if bare else shade(arm, 0.9), 0.045, z)
    head = (shoulder[0] + math.sin(lean) * 0.07 + 0.02, shoulder[1] + 0.1)
    drawing.line([shoulder, head], tone, 0.05)
    drawing.disc(head, 0.06, tone, stretch=0.9)
    top = paint(rng) if rng.random() < helmet else dark(rng)
    drawing.polygon([(head[0] + 0.07 * math.cos(a), head[1] + 0.075 * math.sin(a)) for a in _ARCH], top)


def add_bystander(drawing: Drawing, rng: random.Random) -> None:
    """Add a person standing behind the vehicle."""
    x, z = rng.uniform(-0.4, 0.4), rng.uniform(0.12, 0.3)
    trousers, shirt = dark(rng) if rng.random() < 0.6 else any_colour(rng), any_colour(rng)
    tall = rng.uniform(0.8, 1.0)
    for side in (-0.035, 0.035):
        drawing.line([(x + side, 0.02), (x + side * 0.8, 0.48 * tall)], trousers, 0.07, z)
    drawing.body(_trunk((x, 0.5 * tall), (x, 0.74 * tall)), shirt, 0.1, z)
    for side in (-0.09, 0.09):
        drawing.line([(x + side * 0.8, 0.77 * tall), (x + side * 1.2, 0.5 * tall)], shade(shirt, 0.85), 0.045, z - 0.03)
    drawing.disc((x, 0.88 * tall), 0.055, skin(rng), z)
    drawing.disc((x, 0.91 * tall), 0.05, dark(rng), z, 1.1)


_ARCH = [math.radians(angle) for angle in range(10, 221, 15)]  # from the brow over the crown to the neck


def _trunk(hip: Spot, shoulder: Spot) -> list[Spot]:
    dx, dy = shoulder[0] - hip[0], shoulder[1] - hip[1]
    scale = 0.065 / math.hypot(dx, dy)
    side = (dy * scale, -dx * scale)
    return [
        (hip[0] - side[0] - dx * 0.15, hip[1] - side[1] - dy * 0.15),
        (shoulder[0] - side[0] + dx * 0.2, shoulder[1] - side[1] + dy * 0.2),
        (shoulder[0] + side[0] + dx * 0.2, shoulder[1] + side[1] + dy * 0.2),
        (hip[0] + side[0] - dx * 0.15, hip[1] + side[1] - dy * 0.15),
    ]
