"""Synthetic bicycles and motorcycles, drawn with Pillow from a seed: labelled images without a download.

A network trained only on these images can classify real photographs, since irrelevant factors vary (pose, perspective,
colours, light, shadow, riders, background, clutter, sharpness, grain, contrast, grey images) and the relevant ones
stay: thin spoked wheels and an open frame against thick wheels and a mass of engine, tank and bodywork.

Each vehicle is built from lines and sheets in three dimensions (``bicycle``, ``motorcycle``, ``rider``; projected by
``solid``), placed before a background (``background``), and rendered (``render``).
"""

from __future__ import annotations

from scones_ml.dataset.synthetic.render import KINDS, Kind, draw_image, draw_png, render

__all__ = ["KINDS", "Kind", "draw_image", "draw_png", "render"]
