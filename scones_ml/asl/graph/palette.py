"""The colours of a drawing, for light and for dark surroundings.

Colours for light surroundings are attributes, so that a drawing is correct where style sheets are stripped; the style
sheet contains the colours for dark surroundings only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["DARK_STYLE", "NOTEBOOK_STYLE", "ROOT", "paint"]

ROOT: Final = "scones-graph"
"""The class of the whole drawing; rules of the style sheet begin with it, since a notebook has several drawings."""

# For each role: fill and stroke in light surroundings, then in dark ones.
_ROLES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "page": ("#ffffff", "none", "#15181d", "none"),
    "card": ("#ffffff", "#8d97a5", "#22262d", "#6b7583"),
    "idle": ("#f6f7f9", "#c3c9d1", "#1b1f25", "#434b57"),
    "succeeded": ("#e6f6eb", "#1f7a3a", "#173524", "#4fc178"),
    "caught": ("#fff3d6", "#a66a00", "#3a2d10", "#e5ad3e"),
    "failed": ("#fde7e7", "#b3261e", "#431d1d", "#f2766f"),
    "running": ("#e4effd", "#1a5fb4", "#182f4d", "#6aa9f4"),
    "aborted": ("#eeebf5", "#64568a", "#2c2740", "#a99bd6"),
    "inside": ("#f8f9fb", "#dde1e7", "#1a1d23", "#333a44"),
    "name": ("#1b2430", "none", "#eef1f5", "none"),
    "note": ("#566070", "none", "#a8b2c0", "none"),
    "faint": ("#5d6673", "none", "#8d97a6", "none"),
    "line": ("none", "#7a8594", "none", "#7f8a99"),
    "quiet": ("none", "#c3c9d1", "none", "#474f5b"),
    "gone": ("none", "#1f7a3a", "none", "#4fc178"),
    "error": ("none", "#a66a00", "none", "#e5ad3e"),
    "icon": ("none", "#46505e", "none", "#b3bdca"),
    "icon-faint": ("none", "#8a94a2", "none", "#77818f"),
    "sign": ("none", "#ffffff", "none", "#15181d"),
    "tip-line": ("#7a8594", "none", "#7f8a99", "none"),
    "tip-quiet": ("#c3c9d1", "none", "#474f5b", "none"),
    "tip-gone": ("#1f7a3a", "none", "#4fc178", "none"),
    "tip-error": ("#a66a00", "none", "#e5ad3e", "none"),
    "disc-succeeded": ("#1f7a3a", "none", "#4fc178", "none"),
    "disc-caught": ("#a66a00", "none", "#e5ad3e", "none"),
    "disc-failed": ("#b3261e", "none", "#f2766f", "none"),
    "disc-running": ("#1a5fb4", "none", "#6aa9f4", "none"),
    "disc-aborted": ("#64568a", "none", "#a99bd6", "none"),
    "label-inside": ("#f8f9fb", "none", "#1a1d23", "none"),
    "label": ("#ffffff", "none", "#15181d", "none"),
    "marker": ("#46505e", "none", "#9aa5b4", "none"),
    "word": ("#ffffff", "none", "#15181d", "none"),
}


def paint(role: str) -> str:
    """The attributes that give an element the colours of `role`."""
    fill, stroke, _, _ = _ROLES[role]
    drawn = f' stroke="{stroke}"' if stroke != "none" else ""
    return f'class="{role}" fill="{fill}"{drawn}'


def _rule(role: str, fill: str, stroke: str) -> str:
    colours = "".join(f"{name}:{value};" for name, value in (("fill", fill), ("stroke", stroke)) if value != "none")
    return f".{ROOT} .{role}{{{colours[:-1]}}}"


def _either(light: str, dark: str) -> str:
    return "none" if light == "none" else f"light-dark({light},{dark})"


DARK_STYLE: Final = (
    "@media(prefers-color-scheme:dark){"
    + "".join(_rule(role, fill, stroke) for role, (_, _, fill, stroke) in _ROLES.items())
    + "}"
)
"""The rules for dark surroundings."""

NOTEBOOK_STYLE: Final = (
    f".{ROOT}{{color-scheme:light dark}}"
    f":is([data-jp-theme-light=true],.vscode-light) .{ROOT}{{color-scheme:light}}"
    f":is([data-jp-theme-light=false],.vscode-dark) .{ROOT}{{color-scheme:dark}}"
    + "".join(  # the class twice: this rule outranks that of DARK_STYLE
        f".{ROOT}{_rule(role, _either(fill, dark_fill), _either(stroke, dark_stroke))}"
        for role, (fill, stroke, dark_fill, dark_stroke) in _ROLES.items()
    )
)
"""The rules for notebooks: the theme of JupyterLab or VS Code need not be that of the system."""
