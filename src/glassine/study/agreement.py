"""How far raters agree beyond chance."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence

import numpy as np


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal values, any number of raters, missing values allowed.

    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C: from the coincidence matrix `o`,
    in which each ordered pair of values of a unit with `m` of them counts 1 / (m - 1), alpha is
    `1 - (n - 1) * sum_{c != k} o_ck / sum_{c != k} n_c n_k`.

    Args:
        units: for each unit the values that its raters gave, in any order; units with fewer than two do not count.

    Returns:
        At most 1; 0 is what chance would give. None where it is not defined: nothing to compare, or only one value.
    """
    compared = [unit for unit in units if len(unit) > 1]
    values = {value: number for number, value in enumerate(dict.fromkeys(itertools.chain(*compared)))}
    coincidences = np.zeros((len(values), len(values)))
    for unit in compared:
        counts = np.bincount([values[value] for value in unit], minlength=len(values)).astype(float)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidences.sum(0)
    disagreements = coincidences.sum() - np.trace(coincidences)
    expected = totals.sum() ** 2 - (totals**2).sum()
    return float(1 - (totals.sum() - 1) * disagreements / expected) if expected > 0 else None


def agreeing_share(units: Iterable[Sequence[Hashable]]) -> float | None:
    """The share of pairs of raters who gave the same unit the same value; None without any pair."""
    pairs = [first == second for unit in units for first, second in itertools.combinations(unit, 2)]
    return sum(pairs) / len(pairs) if pairs else None
