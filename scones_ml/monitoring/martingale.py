"""Sequential test for change in a stream, valid after every record.

A conformal test martingale (Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2nd ed., ch. 8). Reference
and stream are treated as one sequence. While it comes from one distribution, the rank of each new value among all
earlier ones, with ties broken at random, is uniform and independent of the earlier ranks; this holds for a reference of
any size, whose sampling error is accounted for exactly. The product of bets against uniform ranks is then a
non-negative martingale that starts at 1, and by Ville's inequality the probability that it ever reaches ``1 / level``
is at most ``level``, for any number of records and of evaluations.

The bets are on the mean of the ranks (a shift) and on their spread (a change of variance). At each block of records, a
share of 1 / (block + 1) of the wealth is redistributed (Herbster and Warmuth's fixed share), so that late changes are
detected as well as early ones; the cost is the logarithm of the number of blocks.
"""

from __future__ import annotations

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = ["BLOCK", "ConformalMartingale"]

BLOCK = 256  # ranks within a block are compared in pairs: quadratic time and memory
"""Number of records per block; the wealth is known after each record."""

_ON_MEAN = np.array([-0.95, -0.5, -0.2, 0.2, 0.5, 0.95])  # in (-1, 1), so that the bet 1 + e (2 p - 1) is positive
_ON_SPREAD = np.array([-0.9, -0.4, 0.7, 1.6])  # in (-1, 2): 1 + e (6 p^2 - 6 p + 1) does
_IDLE = 0.5  # share of the wealth that is not bet at first
# The other half is divided evenly among the ten bets.
_PRIOR = np.concatenate(([_IDLE], np.full(len(_ON_MEAN) + len(_ON_SPREAD), (1 - _IDLE) / 10)))


class ConformalMartingale:
    """Evidence that values no longer have the distribution of the reference.

    Args:
        reference: (C,) number of reference values in each cell.
        seed: seed for breaking ties; the same stream and seed give the same evidence, also if the stream is read
            again with more records at its end.
    """

    def __init__(self, reference: IntArray, seed: int) -> None:
        self._past = reference.astype(np.int64)
        self._random = np.random.default_rng(seed)
        self._wealth = np.log(_PRIOR)
        self._blocks = 0

    def update(self, cells: IntArray) -> FloatArray:
        """Bet on the next values.

        Args:
            cells: (N,) cells, N at most 256; all calls but the last must pass whole blocks.

        Returns:
            (N,) natural logarithm of the wealth after each value.
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
        """The share of earlier values below each value, with ties (and the value itself) broken at random."""
        below = np.concatenate(([0], np.cumsum(self._past)))[:-1]
        earlier = np.tri(len(cells), k=-1, dtype=bool)
        less = below[cells] + ((cells[:, None] > cells[None, :]) & earlier).sum(axis=1)
        equal = self._past[cells] + ((cells[:, None] == cells[None, :]) & earlier).sum(axis=1)
        count = self._past.sum() + np.arange(len(cells))
        np.add.at(self._past, cells, 1)
        return np.asarray((less + self._random.random(len(cells)) * (equal + 1)) / (count + 1))


def _log_bets(ranks: FloatArray) -> FloatArray:
    """The (N, 11) logarithms of the returns of each bet for (N,) ranks; the first column is no bet."""
    p = ranks[:, None]
    none = np.zeros((len(ranks), 1))
    return np.concatenate(
        (none, np.log1p(_ON_MEAN * (2 * p - 1)), np.log1p(_ON_SPREAD * (6 * p * p - 6 * p + 1))), axis=1
    )


def _log_sum(values: FloatArray) -> FloatArray:
    peak = values.max(axis=-1, keepdims=True)  # subtracted so that no exponential overflows
    return np.asarray((peak + np.log(np.exp(values - peak).sum(axis=-1, keepdims=True)))[..., 0])
