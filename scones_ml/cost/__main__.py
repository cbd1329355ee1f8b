"""``python -m scones_ml.cost``: monthly cost of each design, as the documentation's Markdown table."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from scones_ml.cost.estimate import estimate
from scones_ml.infrastructure.pages import markdown_table

__all__ = ["cost_table", "main"]

_VOLUMES = (1_000, 100_000, 1_000_000)  # images a month


def cost_table() -> str:
    """Markdown table of each design's cost: dollars a month, idle and for some volumes."""
    rows = [
        ("design", "idle", *(f"{volume:,} images" for volume in _VOLUMES), "1,000 more"),
        ("---", *("---:",) * (len(_VOLUMES) + 2)),
    ]
    for found in zip(*map(estimate, _VOLUMES), strict=True):
        months = (f"{one.per_month:,.2f}" for one in found)
        one = found[0]
        rows.append((f"`{one.design}`", f"{one.idle_per_month:,.2f}", *months, f"{one.per_thousand:.5f}"))
    return markdown_table(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code: 0 for success, 2 for any argument, since there are none."""
    argparse.ArgumentParser(prog="python -m scones_ml.cost", description=__doc__).parse_args(arguments)
    sys.stdout.write(cost_table())
    return 0


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGPIPE):  # it only prints text: there is nothing to clean up
        signal.signal(sign, signal.SIG_DFL)
    raise SystemExit(main())
