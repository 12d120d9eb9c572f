"""The curves of a report, each as an SVG element."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from train.metrics import Accepted, Bools, Floats, confidence

_BINS = 10
_FEWEST = 30  # pictures of a point: of fewer, a share says little


@dataclass(frozen=True, slots=True)
class Point:
    """Pictures of about one confidence. said: their mean confidence; share: of the right ones.

    low, high: its 95 % interval. All are 0 to 1.
    """

    pictures: int
    said: float
    share: float
    low: float
    high: float


def roc(p_male: Floats, male: Bools) -> str:
    """The ROC curve."""
    false_positive, true_positive, _ = roc_curve(male, p_male)

    def draw(axes: Axes) -> None:
        axes.plot(100 * false_positive, 100 * true_positive)
        axes.plot([0, 100], [0, 100], ":", color="0.6")
        axes.set(xlabel="females said to be male, %", ylabel="males said to be male, %")

    return _drawn("ROC", draw)


def reliability(p_male: Floats, male: Bools) -> str:
    """The reliability diagram: accuracy by confidence, with its 95 % interval (Wilson)."""
    points = reliable_points(p_male, male)
    said, share, low, high = (
        100 * np.array([getattr(point, name) for point in points])
        for name in ("said", "share", "low", "high")
    )
    counts = sorted({point.pictures for point in points})

    def draw(axes: Axes) -> None:
        axes.plot([50, 100], [50, 100], ":", color="0.6")
        axes.errorbar(said, share, yerr=(share - low, high - share), fmt="o-", capsize=3)
        of = " or ".join(map(str, counts))
        axes.set(xlabel=f"confidence, %; {of} pictures a point", ylabel="right, %")

    return _drawn("Reliability", draw)


def reliable_points(p_male: Floats, male: Bools) -> list[Point]:
    """Pictures of about one confidence together, the least sure ones first.

    There are `_BINS` points, or fewer where one would have less than `_FEWEST` pictures.
    """
    sure = confidence(p_male)
    right = (p_male > 0.5) == male
    number = max(1, min(_BINS, len(sure) // _FEWEST))
    found = []
    for some in np.array_split(np.argsort(sure, kind="stable"), number):
        hits = int(right[some].sum())
        interval = binomtest(hits, len(some)).proportion_ci(method="wilson")
        share = hits / len(some)
        said = float(sure[some].mean())
        found.append(Point(len(some), said, share, interval.low, interval.high))
    return found


def coverage(curve: Sequence[Accepted], min_confidence: float, chosen: Accepted) -> str:
    """The accuracy of the accepted pictures by coverage."""
    known = [point for point in curve if point.accuracy is not None]

    def draw(axes: Axes) -> None:
        axes.plot(
            [100 * point.coverage for point in known],
            [100 * (point.accuracy or 0) for point in known],
        )
        if chosen.accuracy is not None:
            # In the legend, not beside the point, where it would lie over an axis or the curve.
            axes.plot(
                100 * chosen.coverage,
                100 * chosen.accuracy,
                "o",
                label=f"min_confidence {min_confidence:.3f}",
            )
            axes.legend(frameon=False, loc="best")
        axes.set(xlabel="accepted, %", ylabel="of these right, %")

    return _drawn("Coverage", draw)


def training(history: Sequence[dict[str, Any]]) -> str:
    """Losses and validation error by epoch."""
    epochs = [epoch["epoch"] for epoch in history]

    def draw(axes: Axes) -> None:
        axes.plot(epochs, [epoch["train_loss"] for epoch in history], label="loss, train")
        axes.plot(epochs, [epoch["val_loss"] for epoch in history], label="loss, val")
        wrong = [1 - epoch["val_balanced_accuracy"] for epoch in history]
        axes.plot(epochs, wrong, label="wrong, val (balanced)")
        axes.set(xlabel="epoch", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)

    return _drawn("Training", draw)


def _drawn(title: str, draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.StringIO()
    # Without random ids, so that the same numbers give the same page; and with text as text.
    with rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure)
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
