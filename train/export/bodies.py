"""Choose the confidence from which a model tells a person whose face is not seen.

Few labelled photographs show such a person. So the face is withheld on others as well: where there
is one, and so small that it says nothing in what surrounds it, the photograph is judged as if no
face had been found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.device import choose_device
from gdwatch.inference.faces import confidence
from gdwatch.inference.model import Model
from gdwatch.inference.predictor import PlainPredictor
from gdwatch.networks.two_inputs import TwoInputClassifier
from gdwatch.values import Box
from train.data.sources import CLASSES
from train.evaluation.photographs import Answered, answers, batches
from train.metrics import choose_threshold

ACCURACY = 0.95  # of the accepted ones
FEWEST = 40  # photographs to choose by
# Share of a photograph's longer side that a withheld face has at most: where the network sees the
# whole photograph, in 128 pixels, such a face has 16, and tells nothing (see RESULTS.md).
_SMALL = 0.125


@dataclass(frozen=True, slots=True)
class Bodies:
    """What was chosen, and by how many photographs.

    unseen: photographs on which no face was found; withheld: those whose face was withheld.
    accepted: how many of both are at least so sure; accuracy: of these, 0 to 1.
    min_confidence: None where no confidence reaches `ACCURACY`, or there are too few photographs.
    """

    unseen: int
    withheld: int
    accepted: int = 0
    accuracy: float = 0.0
    min_confidence: float | None = None

    def __str__(self) -> str:
        """Say it as `gdtrain calibrate` prints it."""
        chosen = "none" if self.min_confidence is None else f"{self.min_confidence:.4f}"
        told = f"{100 * self.accuracy:.1f} % of {self.accepted} accepted are right, "
        return (
            f"{chosen} ({told if self.accepted else ''}of {self.unseen} without a visible face "
            f"and {self.withheld} whose small face was withheld)"
        )

    @property
    def measures(self) -> dict[str, Any]:
        """The counts for the model file."""
        return {
            "without_face": self.unseen,
            "face_withheld": self.withheld,
            "accepted": self.accepted,
            "accepted_accuracy": round(self.accuracy, 4),
        }


@dataclass(frozen=True, slots=True)
class _Told:
    """What a model says of a person without a face. sure: its confidence."""

    is_male: bool
    p_male: float
    sure: float


def choose_bodies(loaded: Model, found: Sequence[Answered]) -> Bodies | None:
    """Choose by photographs of the split `val`; None for a model that sees nothing but faces.

    loaded: calibrated. found: the answers of the same networks.
    """
    if not isinstance(loaded.classifier, TwoInputClassifier):
        return None
    people = [each for each in found if each.entry.label in CLASSES]
    entries = [each.entry for each in people if not each.scores.faces]
    unseen = [
        _Told(
            each.entry.label == "male", each.decision.p_male or 0.0, each.decision.confidence or 0.0
        )
        for each in answers([loaded], entries)
    ]
    withheld = _withheld(loaded, [each for each in people if len(each.scores.faces) == 1])
    counts = Bodies(len(unseen), len(withheld))
    told = unseen + withheld
    if len(told) < FEWEST:
        return counts
    p_male, sure = (np.array([getattr(each, name) for each in told]) for name in ("p_male", "sure"))
    male = np.array([each.is_male for each in told])
    threshold = choose_threshold(p_male, male, ACCURACY, sure=sure)
    reached = threshold.accuracy >= ACCURACY
    return Bodies(
        len(unseen),
        len(withheld),
        int((sure >= threshold.min_confidence).sum()),
        threshold.accuracy,
        round(threshold.min_confidence, 4) if reached else None,
    )


def _withheld(loaded: Model, people: Sequence[Answered]) -> list[_Told]:
    """What the model says of those whose face can be withheld."""
    boxes = {each.entry.path: each.scores.faces[0].box for each in people}
    predictor = PlainPredictor(loaded, choose_device("auto"), borders=())
    told: list[_Told] = []
    for batch in batches([loaded], [each.entry for each in people]):
        shown = [
            (entry, seen.photo) for entry, seen in batch if _is_small(boxes[entry.path], seen.photo)
        ]
        if not shown:
            continue
        scores, _ = predictor.judge_faces([photo for _, photo in shown], [[] for _ in shown])
        for (entry, _), each in zip(shown, scores, strict=True):
            assert each.p_male is not None  # that of the whole photograph
            sure = confidence(each.p_male, each.p_nobody)
            told.append(_Told(entry.label == "male", each.p_male, sure))
    return told


def _is_small(face: Box, photo: Pixels) -> bool:
    return bool(max(face.width, face.height) <= _SMALL * max(photo.shape[:2]))
