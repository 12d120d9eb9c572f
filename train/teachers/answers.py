"""The answers of the teachers, as two CSV files."""

from dataclasses import dataclass
from pathlib import Path

from train.atomic_files import publish_rows
from train.fitting import teacher
from train.metrics import Floats, probabilities
from train.teachers.embed import Embedded, SeenFace

COLUMNS = ["path", "x", "y", "w", "h", "p_male"]


@dataclass(frozen=True, slots=True)
class FaceAnswer:
    """A line of the answers for all faces; x, y, w, h: its box, in pixels of the photograph."""

    path: str
    x: float
    y: float
    w: float
    h: float
    p_male: float


def faces_file(file: Path) -> Path:
    """Where the answers for all faces stand that belong to answers for main faces in `file`."""
    return file.with_name(f"{file.stem}-faces.csv")


def write(embedded: Embedded, logits: Floats, file: Path) -> int:
    """Write what `fit --teacher` reads into `file`, and beside it the answers for all faces.

    logits: of `male`, of each face, (F,).

    Returns how many photographs have an answer. Raises GdwatchError.
    """
    answers = [
        FaceAnswer(seen.path, *_box(seen), round(share, 5))
        for seen, share in zip(embedded.seen, probabilities(logits, 1.0).tolist(), strict=True)
    ]
    publish_rows(faces_file(file), COLUMNS, answers)
    main = {answer.path: answer.p_male
            for answer, seen in zip(answers, embedded.seen, strict=True) if seen.main}  # fmt: skip
    teacher.write(main, file)
    return len(main)


def _box(seen: SeenFace) -> tuple[float, float, float, float]:
    box = seen.face.box
    return round(box.x, 1), round(box.y, 1), round(box.width, 1), round(box.height, 1)
