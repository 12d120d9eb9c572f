"""The engine as it runs with a card, with the CPU in the place of the card.

CARD_DIES: when the process aborts, as if the card had failed: `at the start` or `of a batch`.
"""

import os
from collections.abc import Sequence
from typing import Any

from gdwatch.cuda.cuda_predictor import CudaPredictor
from gdwatch.cuda.self_test import on_card
from gdwatch.decode.reduce import Pixels
from gdwatch.inference import predictor
from gdwatch.processes import engine

DIES = os.environ.get("CARD_DIES")


def on_cpu(*given: Any) -> CudaPredictor:
    if DIES == "at the start":
        os.abort()
    found = on_card(*given)
    assert isinstance(found, CudaPredictor)
    return Dying(found) if DIES else found


class Dying:
    def __init__(self, card: CudaPredictor) -> None:
        self.depth = card.depth

    def begin(self, _: Sequence[Pixels]) -> predictor.Finish:
        os.abort()


if __name__ == "__main__":
    engine._CARD = "cpu"
    engine.on_card = on_cpu
    engine.main()
