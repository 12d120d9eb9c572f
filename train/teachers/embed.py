"""Embed each face with published networks; a stopped run goes on.

Every network gets the face aligned: turned and scaled so that eyes, nose and mouth are where they
were when it was trained.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.faces import prominence
from gdwatch.networks.pooled import PooledClassifier
from train.atomic_files import make_folder, publish
from train.data.prepared_set import Indices, Prepared, Row
from train.data.sources import Entry
from train.detection.boxes import Face
from train.detection.centerface import read_photograph
from train.published.dlib import MEAN, STD, load_weights, sha256_of
from train.published.onnx_sessions import open_session

PARTS = "embeddings"
_PART = 256  # pictures of one file
_BATCH = 32
_SURE = 0.5  # a face with a lower score is taken only where there is no other

Points = NDArray[np.complex128]
Embedded = NDArray[np.float32]

# Templates: eyes, nose and corners of the mouth as x + iy, in shares of the square's side. That of
# 112 pixels is the usual one of face recognition (Deng et al. 2019, arXiv:1801.07698); the other is
# dlib's mean face, round which dlib leaves a padding.
_ARCFACE = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j,
                     41.5493 + 92.3655j, 70.7299 + 92.2041j]) / (112 + 0j)  # fmt: skip
_MEAN_FACE = np.array([0.2255 + 0.2160j, 0.7548 + 0.2160j, 0.4901 + 0.5156j,
                       0.2541 + 0.7802j, 0.7261 + 0.7802j])  # fmt: skip


def _padded(padding: float) -> Points:
    around: Points = (_MEAN_FACE + padding * (1 + 1j)) / (1 + 2 * padding)
    return around


class EmbeddingNetworks:
    """Three published networks; the embedding is 512 numbers, 256 numbers and a logit of `male`.

    feature, dlib, gender: their files, see `weights`. Raises GdwatchError.
    """

    size = 512 + 256 + 1

    def __init__(self, feature: Path, dlib: Path, gender: Path) -> None:
        self._feature = open_session(feature, ("input", "output"))
        self._gender = open_session(gender, ("images", "probabilities"))
        self._dlib = PooledClassifier(
            widths=[32, 64, 128, 256, 256], blocks=[3, 4, 3, 3, 1], mean=MEAN, std=STD
        ).eval()
        load_weights(self._dlib, dlib)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dlib.to(self._device)
        self.digest = " ".join(map(sha256_of, (feature, dlib, gender)))

    def embed(self, seen: Sequence[tuple[Pixels, Face]]) -> Embedded:
        """Embed one face of each photograph: float32 (B, size)."""
        small = _channels([align(photo, face, _ARCFACE, 112) for photo, face in seen], 127, 128)
        feature = [self._feature.run(["output"], {"input": each[None]})[0][0] for each in small]
        tiny = [align(photo, face, _padded(0.2), 32) for photo, face in seen]
        images = _channels(tiny, [255 * mean for mean in MEAN], 256)
        female, male = self._gender.run(["probabilities"], {"images": images})[0].clip(1e-6).T
        large = np.stack([align(photo, face, _padded(0.25), 150) for photo, face in seen])
        with torch.inference_mode():
            pooled = self._dlib.embed(torch.from_numpy(large).to(self._device).permute(0, 3, 1, 2))
        return np.concatenate(
            (feature, pooled.cpu().numpy(), np.log(male / female)[:, None]), 1, dtype=np.float32
        )


def _channels(
    squares: Sequence[Pixels], middle: float | Sequence[float], spread: float
) -> Embedded:
    """Normalise: float32 (B, 3, S, S)."""
    values = (np.stack(squares) - np.array(middle)) / spread
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=np.float32)


def align(photo: Pixels, face: Face, template: Points, side: int) -> Pixels:
    """Align a face: by the similarity transform that brings its landmarks closest to a template's.

    photo: uint8 (H, W, 3), RGB; face: in its pixels.
    template: as shares of the side of the result.

    Returns uint8 (side, side, 3), RGB, black where the photograph ends.
    """
    marks = np.array(face.landmarks[0::2]) + 1j * np.array(face.landmarks[1::2])
    wanted = template * side
    apart = wanted - wanted.mean()
    # Least squares over complex numbers: pixel z of the result is turn * z + shift of the photo.
    turn = (apart.conj() * (marks - marks.mean())).sum() / (abs(apart) ** 2).sum()
    shift = marks.mean() - turn * wanted.mean()
    image = Image.fromarray(photo)
    scale = abs(turn)
    if scale > 1:  # downsample first, against aliasing: `transform` reads single pixels
        width, height = (max(1, round(length / scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        turn, shift = turn / scale, shift / scale
    coefficients = (turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag)
    return np.asarray(
        image.transform(
            (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
        )
    )


def embeddings(
    listed: Sequence[Entry],
    prepared: Prepared,
    faces: Mapping[str, Sequence[Face]],
    networks: EmbeddingNetworks,
) -> Embedded:
    """Embed the most prominent face of every prepared photograph.

    The results are kept in the folder PARTS beside the manifest, and computed once for the same
    faces and networks.

    listed: where the photographs are. faces: by path, those that the detector found.

    Returns float32 (N, networks.size); NaN where there is no face.
    Raises GdwatchError.
    """
    folder = prepared.folder / PARTS
    make_folder(folder)
    places = {entry.path: entry for entry in listed}
    starts = range(0, len(prepared.rows), _PART)
    console = Console(stderr=True)
    parts = []
    for start in track(starts, "embedding", console=console, disable=not console.is_terminal):
        rows = prepared.rows[start : start + _PART]
        chosen = [_face(row, faces.get(row.path, ())) for row in rows]
        basis = hashlib.sha256(repr((networks.digest, rows, chosen)).encode()).hexdigest()
        file = folder / f"{start:06}.npz"
        part = _kept(file, basis)
        if part is None:
            part = _embed([places.get(row.path) for row in rows], chosen, networks)
            with publish(file) as aside, aside.open("wb") as stream:
                np.savez(stream, basis=basis, embedded=part)
        parts.append(part)
    return np.concatenate(parts)


def _kept(file: Path, basis: str) -> Embedded | None:
    try:
        with np.load(file) as kept:
            if str(kept["basis"]) == basis:
                return np.asarray(kept["embedded"], dtype=np.float32)
    except (OSError, ValueError, KeyError):
        pass  # missing or damaged: the embeddings are computed anew
    return None


def _face(row: Row, found: Sequence[Face]) -> Face | None:
    marked = [face for face in found if len(face.landmarks) == 10]
    sure = [face for face in marked if face.score >= _SURE] or marked
    return max(sure, key=lambda face: prominence(face.box, row.width, row.height), default=None)


def _embed(
    entries: Sequence[Entry | None], chosen: Sequence[Face | None], networks: EmbeddingNetworks
) -> Embedded:
    embedded = np.full((len(entries), networks.size), np.nan, np.float32)
    rows: list[int] = []
    seen: list[tuple[Pixels, Face]] = []
    for row, (entry, face) in enumerate(zip(entries, chosen, strict=True)):
        looked = read_photograph(entry) if entry is not None and face is not None else None
        if looked is not None and face is not None:
            photo, scale = looked
            rows.append(row)
            seen.append((photo, face.scaled(1 / scale)))
    for start in range(0, len(rows), _BATCH):
        some: Indices = np.array(rows[start : start + _BATCH], dtype=np.int64)
        embedded[some] = networks.embed(seen[start : start + _BATCH])
    return embedded
