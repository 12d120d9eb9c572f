"""Print a table of runs: accuracy by source, and cost.

    python -m train.evaluation.results DIR RUN…

RUN is the folder of `gdtrain fit`, with its model file beside it as RUN.safetensors. Pictures a
second are measured here, with the models taking turns, so that the rates of one table can be
compared.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from gdwatch.networks.classifier import Classifier
from train.data import prepared_set
from train.evaluation.evaluate import evaluate
from train.fitting import checkpoint

_BATCH = 32
_ROUNDS = 7


def multiply_adds(network: Classifier, size: int) -> int:
    """Multiply-adds for one picture, in convolutions and linear layers, as torch counts them."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network(torch.zeros((1, 3, size, size), dtype=torch.uint8))
    return counter.get_total_flops() // 2


def rates(models: Sequence[Model]) -> list[float]:
    """Pictures a second of each model on one core, the median of several rounds of one batch."""
    torch.set_num_threads(1)
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(_ROUNDS):
        for number, one in enumerate(models):
            size = one.details.classifier.input
            batch = torch.zeros((_BATCH, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
            network = one.classifier.to(memory_format=torch.channels_last)
            with torch.inference_mode():
                network(batch)
                began = time.perf_counter()
                network(batch)
                seconds[number].append(time.perf_counter() - began)
    return [_BATCH / float(np.median(some)) for some in seconds]


def table(folder: Path, runs: Sequence[Path]) -> str:
    """The table as Markdown: balanced accuracy on the split `test` in per cent, and cost."""
    prepared = prepared_set.load(folder)
    models = [model.load(model_file.read(run.with_suffix(".safetensors"))) for run in runs]
    rows, sources = [], sorted({row.source for row in prepared.rows})
    for run, one, rate in zip(runs, models, rates(models), strict=True):
        found = evaluate(one, prepared, "test", 10)
        low, high = found.overall.balanced_interval
        size = one.details.classifier.input
        weights = sum(weight.numel() for weight in one.classifier.parameters())
        history = checkpoint.load(run).history
        rows.append(
            [
                run.name,
                f"{100 * found.overall.balanced_accuracy:.1f}",
                f"{100 * low:.1f}-{100 * high:.1f}",
                *(f"{100 * found.by_source[source].balanced_accuracy:.1f}" for source in sources),
                f"{multiply_adds(one.classifier, size) / 1e6:.0f}",
                f"{weights / 1e6:.2f}",
                f"{rate:.0f}",
                f"{len(history)}",
                f"{sum(epoch.seconds for epoch in history) / 60:.0f}",
            ]
        )
    head = ["recipe", "all", "95 %", *sources, "M multiply-adds", "M parameters", "pictures/s",
            "epochs", "minutes"]  # fmt: skip
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(table(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]]))
