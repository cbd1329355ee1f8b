"""Seeded bicycles and motorcycles, drawn with Pillow: labelled images for everybody, without a download.

A network that has seen nothing but these images tells real photographs apart, because what varies here is what must
not matter there (the pose in space, perspective, colours, light, shadow, riders, background, clutter, sharpness, grain,
contrast, grey images), and what stays is what makes the difference: thin wheels with spokes and a frame to look
through, against fat wheels and a mass of engine, tank and bodywork.

Each vehicle is built from lines and sheets in three dimensions (``bicycle``, ``motorcycle``, ``rider``; ``solid`` looks
at them), set before a background (``background``), and photographed (``render``).
"""

from __future__ import annotations

from scones_ml.dataset.synthetic.render import KINDS, Kind, draw_image, draw_png, render

__all__ = ["KINDS", "Kind", "draw_image", "draw_png", "render"]
