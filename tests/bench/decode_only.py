"""A ceiling: read, hash, decode and shrink as a worker does, and nothing else."""

import os
import sys
from pathlib import Path

from gdwatch.decode.formats import Limits
from gdwatch.inference import model_file
from gdwatch.inference.model_file import layout
from gdwatch.processes.slots import Slots
from gdwatch.processes.worker import serve as decode
from gdwatch.settings import Settings
from gdwatch.values import Photo
from tests.bench.loop import serve


def main(photographs: Path, model: str, part: int, parts: int) -> None:
    """part: of the files, the ones that this process takes."""
    settings = Settings()
    slots = Slots(1, layout([model_file.read(model_file.find(model)).details], settings.crop))
    limits = Limits(settings.max_pixels)
    paths = sorted(photographs.iterdir())[part::parts]

    def job() -> None:
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            assert isinstance(decode(descriptor, slots, 0, limits), Photo)
            os.close(descriptor)

    serve(job)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
