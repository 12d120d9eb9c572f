"""A ceiling: the first look and the classifier on what they see of these photographs."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gdwatch.decode.reduce import Pixels, view
from gdwatch.inference import model, model_file
from gdwatch.inference.detection import thumbnails
from gdwatch.inference.model_file import layout
from gdwatch.inference.predictor import PlainPredictor
from tests.bench.loop import serve

BATCH = 32  # as in the engine, of the locator as well


def main(photographs: Path, name: str, part: int, parts: int) -> None:
    """part: of the files, the ones that this process takes. One thread."""
    torch.set_num_threads(1)
    file = model_file.read(model_file.find(name))
    predictor = PlainPredictor(model.load(file), torch.device("cpu"), borders=(0.5,))
    assert predictor.finder is not None
    look = predictor.finder.first
    wanted = layout([file.details], "face")
    paths = sorted(photographs.iterdir())[part::parts]
    shown: list[Tensor] = []
    squares: list[Pixels] = []
    classify = predictor.classify
    predictor.classify = lambda batch, *more: squares.append(batch) or classify(batch, *more)  # type: ignore
    for start in range(0, len(paths), BATCH):
        photos = [np.array(Image.open(path).convert("RGB")) for path in paths[start:][:BATCH]]
        seen = [view(photo, wanted) for photo in photos]
        shown.append(thumbnails(seen, look.side))
        predictor.judge(seen)

    def seen_by(network: torch.nn.Module, batch: Tensor) -> None:
        network(batch.permute(0, 3, 1, 2))

    def job() -> None:
        with torch.inference_mode():
            for pictures, faces in zip(shown, squares, strict=True):
                seen_by(look.locator, pictures)
                seen_by(predictor.classifier, torch.from_numpy(faces))

    serve(job)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
