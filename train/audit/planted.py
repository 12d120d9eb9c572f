"""Measure the recall and precision of `gdtrain audit`: plant errors, run it, count what it found.

    python -m train.audit.planted plant DATA PREPARED FOLDER SEED
    gdtrain prepare FOLDER --out DIR
    gdtrain audit DIR
    python -m train.audit.planted count FOLDER DIR

The pictures are those of the splits `val` and `test` of PREPARED, of people of 10 years or more:
the shipped model, whose features the audit uses, has not learnt from them.
"""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from train.audit.audit import AUDIT
from train.data import prepared_set
from train.data.sources import Entry, entries

TRUTH = "planted.csv"
_SWAPPED, _COPIED, _NOISE = 0.05, 0.05, 0.02
_CUT = 0.03  # of each dimension
_OTHER = {"female": "male", "male": "female"}


def plant(data: Path, prepared: Path, folder: Path, seed: int) -> None:
    """Write class folders with swapped labels, copies and noise among the pictures of DATA."""
    rows = prepared_set.load(prepared)
    held_back = [*rows.select("val", 10).tolist(), *rows.select("test", 10).tolist()]
    wanted = {rows.rows[row].path for row in held_back}
    listed = [entry for entry in entries([data]) if entry.path in wanted]
    rng = np.random.default_rng(seed)
    swapped = _some(listed, _SWAPPED, rng)
    copied = _some(listed, _COPIED, rng)
    truth: list[tuple[str, str, str]] = []
    for number, entry in enumerate(listed):
        label = _OTHER[entry.label] if number in swapped else entry.label
        name = f"{label}/{entry.path.replace('/', '-')}"
        _write(folder / name, _bytes(entry))
        if number in swapped:
            truth.append((name, "label", ""))
        if number in copied:
            again = f"{label}/copy-{number}.jpg"
            _write(folder / again, _copy(_bytes(entry), rng))
            truth.append((again, "duplicate", name))
            if number in swapped:
                truth.append((again, "label", ""))
    for number in range(round(_NOISE * len(listed))):
        name = f"{('female', 'male')[number % 2]}/noise-{number}.png"
        _write(folder / name, _noise(number, rng))
        truth.append((name, "uninformative", ""))
    with (folder / TRUTH).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("path", "trouble", "of"), *truth])


def count(folder: Path, prepared: Path) -> None:
    """Print recall and precision of each kind of planted error, as a Markdown table."""
    truth = _read(folder / TRUTH)
    named = _read(prepared / AUDIT)
    print("| trouble | planted | found | recall | named | precision |")
    print("| --- | --: | --: | --: | --: | --: |")
    for trouble in ("label", "duplicate", "uninformative"):
        planted = {row["path"]: row["of"] for row in truth if row["trouble"] == trouble}
        suspects = [row for row in named if row["trouble"] == trouble]
        # The audit may name either of a picture and its copy.
        pairs = {frozenset(pair) for pair in planted.items()} if trouble == "duplicate" else set()
        right = [
            row["path"]
            for row in suspects
            if row["path"] in planted or frozenset((row["path"], row["related"])) in pairs
        ]
        print(
            f"| {trouble} | {len(planted)} | {len(right)} | {len(right) / len(planted):.3f} "
            f"| {len(suspects)} | {len(right) / max(1, len(suspects)):.3f} |"
        )


def _some(listed: Sequence[Entry], share: float, rng: np.random.Generator) -> set[int]:
    return set(rng.choice(len(listed), round(share * len(listed)), replace=False).tolist())


def _bytes(entry: Entry) -> bytes:
    assert entry.place is not None  # prepared pictures are there
    return entry.place.read()


def _copy(content: bytes, rng: np.random.Generator) -> bytes:
    """Crop 3 % of width and height at random, and save with another JPEG quality."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = round(image.width * (1 - _CUT)), round(image.height * (1 - _CUT))
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    stream = io.BytesIO()
    cut = image.crop((left, top, left + width, top + height))
    cut.save(stream, "JPEG", quality=int(rng.integers(50, 91)))
    return stream.getvalue()


def _noise(number: int, rng: np.random.Generator) -> bytes:
    """Noise of several kinds: grains of 1 to 4 pixels, coloured or grey."""
    grain, side = 1 + number % 4, 200
    channels = 3 if number % 2 else 1
    values = rng.integers(0, 256, (side // grain, side // grain, channels), dtype=np.uint8)
    values = np.broadcast_to(values, (*values.shape[:2], 3)).repeat(grain, 0).repeat(grain, 1)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, "PNG")
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    """Run what the first argument says."""
    match sys.argv[1:]:
        case ["plant", data, prepared, folder, seed]:
            plant(Path(data), Path(prepared), Path(folder), int(seed))
        case ["count", folder, prepared]:
            count(Path(folder), Path(prepared))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
