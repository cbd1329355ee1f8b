"""Has the stream changed? A test that may be looked at after every record, for ever.

A conformal test martingale (Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2nd ed., ch. 8). Reference
and stream are one sequence. While all of it comes from one distribution, the rank of each new value among all before
it, ties broken at random, is uniform and independent of the ranks before; the size of the reference does not matter,
its sampling error is accounted for exactly. Bets against uniform ranks then multiply to a non-negative martingale that
starts at 1, and by Ville's inequality it ever reaches ``1 / level`` with probability at most ``level``: whatever the
number of records, however often somebody looks.

The bets are on the ranks' mean (values moved) and on their spread (values spread out, drew together). A share of the
wealth, 1 / (block + 1), is dealt out anew at each block of records (Herbster and Warmuth's fixed share), so that a
late change is found as well as an early one; the price is the logarithm of the number of blocks.
"""

from __future__ import annotations

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = ["BLOCK", "ConformalMartingale"]

BLOCK = 256  # ranks within a block are compared pair by pair: time and memory grow with its square
"""Records that are taken at a time; the wealth is known after each single one."""

_ON_MEAN = np.array([-0.95, -0.5, -0.2, 0.2, 0.5, 0.95])  # in (-1, 1): the bet 1 + e (2 p - 1) stays positive
_ON_SPREAD = np.array([-0.9, -0.4, 0.7, 1.6])  # in (-1, 2): 1 + e (6 p^2 - 6 p + 1) does
_IDLE = 0.5  # of the wealth is not bet at first
# The other half is spread evenly over the ten bets.
_PRIOR = np.concatenate(([_IDLE], np.full(len(_ON_MEAN) + len(_ON_SPREAD), (1 - _IDLE) / 10)))


class ConformalMartingale:
    """Evidence that values no longer come from where the reference came from.

    Args:
        reference: (C,) how many reference values lie in each cell.
        seed: of the broken ties; the same stream and seed give the same evidence, also when it is read again later
            with more records at its end.
    """

    def __init__(self, reference: IntArray, seed: int) -> None:
        self._past = reference.astype(np.int64)
        self._random = np.random.default_rng(seed)
        self._wealth = np.log(_PRIOR)
        self._blocks = 0

    def update(self, cells: IntArray) -> FloatArray:
        """Bet on the next values.

        Args:
            cells: (N,) cells, N at most 256; every call but the last brings whole blocks.

        Returns:
            (N,) the natural logarithm of the wealth after each.
        """
        ranks = self._ranks(cells)
        self._blocks += 1
        share = 1 / (self._blocks + 1)
        total = _log_sum(self._wealth)
        wealth = np.logaddexp(np.log1p(-share) + self._wealth, np.log(share) + total + np.log(_PRIOR))
        path = wealth + np.cumsum(_log_bets(ranks), axis=0)
        if len(cells):
            self._wealth = path[-1]
        return _log_sum(path)

    def _ranks(self, cells: IntArray) -> FloatArray:
        """The share of all earlier values that lie below each, itself and its equals split at random."""
        below = np.concatenate(([0], np.cumsum(self._past)))[:-1]
        earlier = np.tri(len(cells), k=-1, dtype=bool)
        less = below[cells] + ((cells[:, None] > cells[None, :]) & earlier).sum(axis=1)
        equal = self._past[cells] + ((cells[:, None] == cells[None, :]) & earlier).sum(axis=1)
        count = self._past.sum() + np.arange(len(cells))
        np.add.at(self._past, cells, 1)
        return np.asarray((less + self._random.random(len(cells)) * (equal + 1)) / (count + 1))


def _log_bets(ranks: FloatArray) -> FloatArray:
    """(N,) ranks to the (N, 11) logarithms of what each bet returns; the first is no bet."""
    p = ranks[:, None]
    none = np.zeros((len(ranks), 1))
    return np.concatenate(
        (none, np.log1p(_ON_MEAN * (2 * p - 1)), np.log1p(_ON_SPREAD * (6 * p * p - 6 * p + 1))), axis=1
    )


def _log_sum(values: FloatArray) -> FloatArray:
    peak = values.max(axis=-1, keepdims=True)  # taken out, so that no exponential overflows
    return np.asarray((peak + np.log(np.exp(values - peak).sum(axis=-1, keepdims=True)))[..., 0])
