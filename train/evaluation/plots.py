"""The curves of a report, each as an SVG element."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from train.metrics import Accepted, Bools, Floats, confidence

_BINS = 10


def roc(p_male: Floats, male: Bools) -> str:
    """The ROC curve."""
    false_positive, true_positive, _ = roc_curve(male, p_male)

    def draw(axes: Axes) -> None:
        axes.plot(100 * false_positive, 100 * true_positive)
        axes.plot([0, 100], [0, 100], ":", color="0.6")
        axes.set(xlabel="females said to be male, %", ylabel="males said to be male, %")

    return _drawn("ROC", draw)


def reliability(p_male: Floats, male: Bools) -> str:
    """The reliability diagram: accuracy by confidence."""
    right = (p_male > 0.5) == male
    sure = confidence(p_male)
    share, said = calibration_curve(right, sure, n_bins=_BINS, strategy="quantile")

    def draw(axes: Axes) -> None:
        axes.plot([50, 100], [50, 100], ":", color="0.6")
        axes.plot(100 * said, 100 * share, "o-")
        axes.set(xlabel="confidence, %", ylabel="right, %")

    return _drawn("Reliability", draw)


def coverage(curve: Sequence[Accepted], min_confidence: float, chosen: Accepted) -> str:
    """The accuracy of the accepted pictures by coverage."""
    known = [point for point in curve if point.accuracy is not None]

    def draw(axes: Axes) -> None:
        axes.plot(
            [100 * point.coverage for point in known],
            [100 * (point.accuracy or 0) for point in known],
        )
        if chosen.accuracy is not None:
            axes.plot(100 * chosen.coverage, 100 * chosen.accuracy, "o")
            axes.annotate(
                f"min_confidence {min_confidence:.3f}",
                (100 * chosen.coverage, 100 * chosen.accuracy),
                textcoords="offset points",
                xytext=(-6, -14),
                ha="right",
            )
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
