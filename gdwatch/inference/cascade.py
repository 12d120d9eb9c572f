"""Two models in a cascade: the first judges all photographs, the second those that are in doubt."""

from collections.abc import Sequence
from dataclasses import replace

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.faces import Detection, confidence, prominence
from gdwatch.inference.predictor import Finish, PlainPredictor, Predictor, Result
from gdwatch.values import Face, Scores

# A photograph is in doubt unless each face that counts is large, upright and surely told.
_SURE = 0.95  # probability of the label
_SMALL = 32.0  # pixels of a face's longer side
_TILTED = 25.0  # degrees
_RIVAL = 0.6  # a face of this share of the first one's prominence counts, too


class CascadePredictor:
    """Asks a second model about photographs that are in doubt; see `Predictor`.

    The second model sees the faces that the first one's locator has found.

    first: a `PlainPredictor`, or a `CudaPredictor` around one.
    """

    def __init__(self, first: Predictor, second: PlainPredictor) -> None:
        self.depth = first.depth
        self._first = first
        self._second = second

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Begin a batch. Returns a function that finishes it and returns its result."""
        finish_first = self._first.begin(photos)

        def finish() -> Result:
            return self._asked_again(photos, finish_first())

        return finish

    def _asked_again(self, photos: Sequence[Pixels], first: Result) -> Result:
        doubtful = [
            at
            for at, photo in enumerate(photos)
            if in_doubt(first.scores[at], first.located[at], photo.shape[1], photo.shape[0])
        ]
        if not doubtful:
            return first
        again, splits = self._second.judge_faces(
            [photos[at] for at in doubtful], [first.located[at] for at in doubtful]
        )
        scores = list(first.scores)
        for at, each in zip(doubtful, again, strict=True):
            scores[at] = replace(each, model=1)
        return replace(first, scores=scores, splits=first.splits + splits)


def in_doubt(scores: Scores, located: Sequence[Detection], width: int, height: int) -> bool:
    """Return whether a photograph needs the second model.

    scores: of the first model. located: the faces that the locator found.
    width, height: of the photograph, in pixels.
    """
    if not scores.faces:
        return True
    tilts = {each.box: each.tilt for each in located}
    least = prominence(scores.faces[0].box, width, height) * _RIVAL
    return any(
        _unsure(face) or abs(tilts.get(face.box, 0.0)) > _TILTED
        for face in scores.faces
        if face is scores.faces[0] or prominence(face.box, width, height) >= least
    )


def _unsure(face: Face) -> bool:
    sure = confidence(face.p_male, face.p_nobody)
    return sure < _SURE or max(face.box.width, face.box.height) < _SMALL
