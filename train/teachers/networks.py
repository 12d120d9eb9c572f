"""The published networks that see a face, and those that see its surroundings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gdwatch.decode.reduce import Pixels
from gdwatch.inference import crop
from gdwatch.networks.pooled import PooledClassifier
from train.detection.boxes import Face
from train.published import dlib, faceres, mobilenet
from train.published.faceres import FaceRes
from train.published.mobilenet import MobileNet
from train.published.onnx_sessions import open_session
from train.teachers.views import ARCFACE, align, mean_face, surroundings

Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of the published networks, see `weights`."""

    feature: Path
    dlib: Path
    gender: Path
    faceres: Path
    mobilenet: Path


class EmbeddingNetworks:
    """Five published networks; an embedding has what they give of the face, then of around it.

    Of the face: 512, 256 and 1,024 numbers, and two logits of `male`.

    Raises GdwatchError.
    """

    face = 512 + 256 + faceres.FEATURES + 2
    size = face + mobilenet.FEATURES

    def __init__(self, files: Files) -> None:
        self._feature = open_session(files.feature, ("input", "output"))
        self._gender = open_session(files.gender, ("images", "probabilities"))
        self._dlib = PooledClassifier(
            widths=[32, 64, 128, 256, 256], blocks=[3, 4, 3, 3, 1], mean=dlib.MEAN, std=dlib.STD
        ).eval()
        dlib.load_weights(self._dlib, files.dlib)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dlib.to(self._device)
        self._faceres = FaceRes(files.faceres)
        self._mobilenet = MobileNet(files.mobilenet)
        weights = (files.feature, files.dlib, files.gender, files.faceres, files.mobilenet)
        self.digest = " ".join(map(dlib.sha256_of, weights))

    def embed(self, seen: Sequence[tuple[Pixels, Face]]) -> Embedding:
        """Embed one face of each photograph: float32 (B, size)."""
        small = _channels([align(photo, face, ARCFACE, 112) for photo, face in seen], 127, 128)
        feature = [self._feature.run(["output"], {"input": each[None]})[0][0] for each in small]
        tiny = [align(photo, face, mean_face(0.2), 32) for photo, face in seen]
        images = _channels(tiny, [255 * mean for mean in dlib.MEAN], 256)
        female, male = self._gender.run(["probabilities"], {"images": images})[0].clip(1e-6).T
        large = np.stack([align(photo, face, mean_face(0.25), 150) for photo, face in seen])
        with torch.inference_mode():
            pooled = self._dlib.embed(torch.from_numpy(large).to(self._device).permute(0, 3, 1, 2))
        squares = [crop.face(photo, face.box, faceres.MARGIN, faceres.SIDE) for photo, face in seen]
        features, answer = self._faceres.embed(np.stack(squares))
        around = self._mobilenet.embed(
            np.stack([surroundings(photo, face.box) for photo, face in seen])
        )
        logits = np.stack((np.log(male / female), answer), 1)
        parts = (feature, pooled.cpu().numpy(), features, logits, around)
        return np.concatenate(parts, 1, dtype=np.float32)


def _channels(
    squares: Sequence[Pixels], middle: float | Sequence[float], spread: float
) -> Embedding:
    """Normalise: float32 (B, 3, S, S)."""
    values = (np.stack(squares) - np.array(middle)) / spread
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=np.float32)
