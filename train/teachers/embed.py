"""Embed the faces of photographs with published networks; a stopped run goes on."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.faces import MOST_FACES, prominence
from train.atomic_files import make_folder, publish
from train.data.prepared_set import Indices
from train.data.sources import NOBODY, Entry
from train.detection.boxes import Face
from train.detection.centerface import read_photograph
from train.teachers.networks import Embedding, EmbeddingNetworks

PARTS = "embeddings"
_PART = 256  # photographs of one file
_BATCH = 32
_SURE = 0.5  # a face with a lower score is taken only where there is no other

Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face of a photograph. face: in its pixels; main: whether it is the most prominent one."""

    path: str
    face: Face
    main: bool

    @property
    def size(self) -> float:
        """The longer side of the face, in pixels of the photograph."""
        return max(self.face.box.width, self.face.box.height)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the published networks give of faces.

    seen: F faces, those of a photograph one after the other, the main one first.
    face, surroundings: float16 (F, …), by `EmbeddingNetworks`.
    """

    seen: list[SeenFace]
    face: Half
    surroundings: Half


def embed(
    listed: Sequence[Entry],
    faces: Mapping[str, Sequence[Face]],
    networks: EmbeddingNetworks,
    folder: Path,
) -> Embedded:
    """Embed up to MOST_FACES faces of every photograph that shows people, labelled or not.

    The results are kept in `folder`, in half precision, and computed once for the same faces and
    networks. A photograph that cannot be read has no faces.

    listed: where the photographs are. faces: by path, those that the detector found.

    Raises GdwatchError.
    """
    make_folder(folder)
    people = [entry for entry in listed if entry.label != NOBODY and faces.get(entry.path)]
    starts = range(0, len(people), _PART)
    console = Console(stderr=True)
    seen: list[SeenFace] = []
    parts = []
    for start in track(starts, "embedding", console=console, disable=not console.is_terminal):
        some = people[start : start + _PART]
        part = _part(some, [faces[entry.path] for entry in some], networks, folder / f"{start:06}")
        for rank, photo, number in part.which.tolist():
            path = some[photo].path
            seen.append(SeenFace(path, faces[path][number], main=rank == 0))
        parts.append(part.embedded)
    together = np.concatenate(parts) if parts else np.zeros((0, networks.size), np.float16)
    return Embedded(seen, together[:, : networks.face], together[:, networks.face :])


@dataclass(frozen=True, slots=True)
class _Part:
    """The faces of some photographs.

    which: int64 (F, 3): how prominent a face is in its photograph, 0 the most; the photograph's
    number; its number among the faces that were found there.
    embedded: float16 (F, size).
    """

    which: Indices
    embedded: Half


def _part(
    people: Sequence[Entry],
    found: Sequence[Sequence[Face]],
    networks: EmbeddingNetworks,
    name: Path,
) -> _Part:
    """What is kept under a name, else embedded now and kept."""
    sizes = [entry.place and entry.place.size for entry in people]
    what = (networks.digest, [entry.path for entry in people], sizes, found)
    basis = hashlib.sha256(repr(what).encode()).hexdigest()
    file = name.with_suffix(".npz")
    kept = _kept(file, basis)
    if kept is not None:
        return kept
    part = _embed(people, found, networks)
    with publish(file) as aside, aside.open("wb") as stream:
        np.savez(stream, basis=basis, which=part.which, embedded=part.embedded)
    return part


def _kept(file: Path, basis: str) -> _Part | None:
    try:
        with file.open("rb") as stream, np.load(stream) as kept:
            if str(kept["basis"]) == basis:
                return _Part(kept["which"], kept["embedded"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # missing or damaged: the embeddings are computed anew
    return None


def _embed(
    people: Sequence[Entry], found: Sequence[Sequence[Face]], networks: EmbeddingNetworks
) -> _Part:
    which: list[tuple[int, int, int]] = []
    embedded: list[Embedding] = []
    seen: list[tuple[Pixels, Face]] = []
    for number, entry in enumerate(people):
        looked = read_photograph(entry)
        if looked is None:
            continue
        photo, scale = looked
        inside = [face.scaled(1 / scale) for face in found[number]]
        for rank, chosen in enumerate(_choose(inside, photo.shape[1], photo.shape[0])):
            which.append((rank, number, chosen))
            seen.append((photo, inside[chosen]))
        if len(seen) >= _BATCH:
            embedded.append(networks.embed(seen))
            seen = []
    if seen:
        embedded.append(networks.embed(seen))
    together = np.concatenate(embedded) if embedded else np.zeros((0, networks.size))
    return _Part(np.array(which, np.int64).reshape(-1, 3), together.astype(np.float16))


def _choose(found: Sequence[Face], width: int, height: int) -> list[int]:
    """Which faces are embedded, the most prominent one first."""
    marked = [number for number, face in enumerate(found) if len(face.landmarks) == 10]
    marked.sort(key=lambda number: prominence(found[number].box, width, height), reverse=True)
    sure = [number for number in marked if found[number].score >= _SURE]
    return sure[:MOST_FACES] or marked[:1]
