"""Drift: whether the last days' photographs are like those of the weeks before, by named tests.

SciPy computes them; it comes with the extra `drift`, as nothing else here needs it. To import it
takes a second, which `gdwatch status` spends only where there is something to compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gdwatch.ledger.windows import CROWD, FEWEST, Window, Windows

_CHANCE = 0.001  # p-value below which a difference is not put down to chance
_EFFECT = 0.1  # D or V from which it matters: a p-value alone is small for many photographs
_EXPECTED = 5  # in each cell, for the chi-square test to hold (Cochran 1954)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing compared. name: a word for scripts. before, lately: as text.

    test: its name; effect: Kolmogorov and Smirnov's D or Cramér's V, 0 to 1; p_value: of the test.
    All three are None where there is too little to compare.
    """

    name: str
    before: str
    lately: str
    test: str | None = None
    effect: float | None = None
    p_value: float | None = None

    @property
    def matters(self) -> bool:
        """Whether it is neither chance nor small."""
        if self.effect is None or self.p_value is None:
            return False
        return self.p_value < _CHANCE and self.effect >= _EFFECT


def compare(found: Windows) -> tuple[Difference, ...]:
    """Compare confidence, the share of unsure, faces, and people's verdicts against the model."""
    spans = (found.before, found.lately)
    return (
        _confidence(spans),
        _shares("unsure", [(each.unsure, each.photographs - each.unsure) for each in spans]),
        _shares("faces", [each.faces for each in spans]),
        _shares("against", [(each.against, each.verdicts - each.against) for each in spans]),
    )


def _confidence(spans: Sequence[Window]) -> Difference:
    import numpy as np
    from scipy.stats import ks_2samp

    first, second = (
        np.repeat([at for at, _ in each.confidences], [count for _, count in each.confidences])
        for each in spans
    )
    before, lately = (
        f"median {np.median(each):.3f}" if len(each) else "none" for each in (first, second)
    )
    if min(len(first), len(second)) < FEWEST:
        return Difference("confidence", before, lately)
    found = ks_2samp(first, second, method="asymp")
    return Difference(
        "confidence",
        before,
        lately,
        "Kolmogorov-Smirnov",
        float(found.statistic),
        float(found.pvalue),
    )


def _shares(name: str, spans: Sequence[Sequence[int]]) -> Difference:
    """Compare counts of kinds; of two kinds, the first one's share is told."""
    import numpy as np
    from scipy.stats import chi2_contingency
    from scipy.stats.contingency import association

    told = _told(spans[0]), _told(spans[1])
    table = np.array(spans)
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2 or table.sum(1).min() < FEWEST:
        return Difference(name, *told)
    found = chi2_contingency(table, correction=False)
    if found.expected_freq.min() < _EXPECTED:
        return Difference(name, *told)
    effect = float(association(table, method="cramer"))
    return Difference(name, *told, "chi-square", effect, float(found.pvalue))


def _told(counts: Sequence[int]) -> str:
    total = sum(counts)
    if not total:
        return "none"
    if len(counts) == 2:
        return f"{counts[0] / total:.1%} of {total}"
    kinds = [*map(str, range(CROWD)), f"{CROWD} or more"]
    shares = zip(kinds, counts, strict=True)
    return ", ".join(f"{kind}: {count / total:.0%}" for kind, count in shares if count)
