"""What a shipped model must not forget: embeddings of faces that it was trained and tested on.

    python -m train.tuning.rehearsal PREPARED MODEL…

PREPARED is a prepared folder with the views that the models see; MODEL is `fast` or `accurate`. No
picture is in the files: each face is what the last layer sees of it, a byte for each number. Half
of the faces are rehearsed, the other half judge.
"""

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdwatch.errors import UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from train.atomic_files import make_folder, publish
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.metrics import Bools
from train.tuning.examples import seen
from train.tuning.head import Examples

FOLDER = Path(__file__).parents[1] / "rehearsal"
_HEAD = "head."  # how the names of the last layer begin
_BYTE = 127


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Faces of other sources than one's own.

    rehearsed: of the part that the model was trained on.
    judges: of the part that nothing was learnt from. male: (J,), of `judges`.
    """

    rehearsed: Examples
    judges: Examples
    male: Bools


def find(loaded: Model) -> Rehearsal:
    """The rehearsal of a model: of the shipped one that all its layers but the last are of.

    Raises UsageError where there is none.
    """
    digest = _digest(loaded)
    for file in sorted(FOLDER.glob("*.npz")):
        with np.load(file) as kept:
            if str(kept["basis"]) == digest:
                return _read(kept)
    raise UsageError(
        f"model {loaded.details.name}: differs from the shipped ones in more than its last layer",
        "name fast, accurate, or a model that `gdtrain tune` has made of one of them",
    )


def write(loaded: Model, prepared: Prepared, file: Path) -> int:
    """Write the rehearsal of a model; returns how many faces it has. Raises GdwatchError."""
    with tempfile.TemporaryDirectory() as folder:
        faces = seen(loaded, prepared, Path(folder) / "seen.npz", "looking")
    rows = [prepared.rows[row] for row in faces.rows.tolist()]
    embedded = faces.examples.seen[:, 0, :-1]
    scale = np.abs(embedded).max(0) / _BYTE
    make_folder(file.parent)
    with publish(file) as aside, aside.open("wb") as stream:
        np.savez_compressed(
            stream,
            basis=np.array(_digest(loaded)),
            seen=(embedded / np.maximum(scale, 1e-12)).round().astype(np.int8),
            scale=scale.astype(np.float32),
            factor=faces.examples.factor.astype(np.float32),
            offset=faces.examples.offset.astype(np.float32),
            male=prepared.is_male()[faces.rows],
            judges=np.array([row.split == "test" for row in rows]),
        )
    return len(rows)


def _read(kept: "np.lib.npyio.NpzFile") -> Rehearsal:
    embedded = kept["seen"].astype(np.float64) * kept["scale"].astype(np.float64)
    embedded = np.concatenate((embedded, np.ones((len(embedded), 1))), 1)[:, None]
    factor, offset = (kept[name].astype(np.float64) for name in ("factor", "offset"))
    faces, judges = Examples(embedded, factor, offset), kept["judges"]
    return Rehearsal(
        rehearsed=faces.select(~judges),
        judges=faces.select(judges),
        male=kept["male"][judges],
    )


def _digest(loaded: Model) -> str:
    """SHA-256 of all weights of the classifier but those of the last layer."""
    digest = hashlib.sha256()
    for name, tensor in sorted(loaded.classifier.state_dict().items()):
        if not name.removeprefix("face.").startswith(_HEAD):
            digest.update(name.encode() + tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    """Write the rehearsal of shipped models."""
    folder, *names = sys.argv[1:]
    for name in names:
        loaded = model.load(model_file.read(model_file.find(name)))
        prepared = prepared_set.load(Path(folder))
        print(name, write(loaded, prepared, FOLDER / f"{name}.npz"))


if __name__ == "__main__":
    main()
