"""Answers for photographs, in a program of one's own: what `gdwatch.Classifier` is.

    with Classifier("accurate") as classify:
        print(classify("a.jpg").outcome)

Photographs are read, decoded and judged as the service does it, in processes of their own: one that
ends its decoder costs the program nothing but the answer. Nothing is recorded or moved.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gdwatch import log
from gdwatch.inference.coordinates import slot_to_photograph
from gdwatch.jobs.classify import UNOPENED, Classified, in_order
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.settings import Settings
from gdwatch.values import Face, Judged, Label, Outcome, Photo, Reason, Refusal, Scores

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What gdwatch says of one photograph.

    outcome: the folder that the service would file it in. reason: why it is `unsure` or `rejected`.
    label: the likelier class; also of an unsure one, None of a rejected one.
    p_male, confidence: probabilities of `male` and of the label, 0 to 1; None of a rejected one.
    faces: the most prominent ones, most prominent first, the one that was judged before all others;
        their boxes are in pixels of the upright photograph.
    size: width and height of the upright photograph, in pixels; None where no header could be read.
    format: such as `JPEG`; None likewise. model: its name and version.
    detail: of a rejected file, what was wrong with it, in one line.
    """

    path: Path
    outcome: Outcome
    reason: Reason | None
    label: Label | None
    p_male: float | None
    confidence: float | None
    faces: tuple[Face, ...]
    size: tuple[int, int] | None
    format: str | None
    model: str
    detail: str | None = None


class Classifier:
    """A model with its worker processes, which live until `close`, or to the end of a `with` block.

    model: `auto`, `fast` or `accurate`, or a `.safetensors` file, as the setting `model`.
    settings: others of the service's settings, such as `min_confidence=0.95`, `device="cpu"` or
        `workers=2`. No settings file and no environment variable is read.

    Making one takes seconds. It belongs to one thread at a time.

    Raises pydantic.ValidationError, a ValueError, for a setting that is none or a value that is not
    allowed, and gdwatch.errors.ActionNeeded, here or at the first photograph, for a model that
    cannot be used.
    """

    def __init__(self, model: StrPath = "auto", **settings: Any) -> None:
        log.keep_quiet()
        self._pipeline = Pipeline(Settings(model=os.fspath(model), **settings))
        self._is_busy = False

    def __call__(self, path: StrPath) -> Answer:
        """Classify one photograph. A file that cannot be opened is `rejected`, `unreadable`."""
        (answer,) = self.many([path])
        return answer

    def many(self, paths: Iterable[StrPath]) -> Iterator[Answer]:
        """Classify any number of photographs, in batches; yield the answers in the same order.

        paths are taken as they are needed, some hundreds ahead of the answers. The first answers
        must have ended, or been closed, before others are asked for: else RuntimeError.
        """
        if self._is_busy:
            raise RuntimeError("the answers of an earlier call of `many` have not ended yet")
        self._is_busy = True
        try:
            for classified in in_order(self._pipeline, map(os.fsencode, paths)):
                yield self._answer(classified)
        finally:
            self._is_busy = False

    def close(self) -> None:
        """End the worker processes."""
        self._pipeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, classified: Classified) -> Answer:
        path = Path(os.fsdecode(classified.path))
        match classified.found:
            case Judged() as judged:
                decision, model = judged.decision, judged.model
                header = judged.decoded.header
                faces, detail = _faces(judged.decoded, judged.scores), _detail(judged.decoded)
            case why:
                decision, model, header, faces, detail = (
                    UNOPENED, self._pipeline.model, None, (), why
                )  # fmt: skip
        return Answer(
            path=path,
            outcome=decision.outcome,
            reason=decision.reason,
            label=decision.label,
            p_male=decision.p_male,
            confidence=decision.confidence,
            faces=faces,
            size=(header.width, header.height) if header else None,
            format=header.format if header else None,
            model=f"{model.name} {model.version}",
            detail=detail,
        )


def _faces(decoded: Photo | Refusal, scores: Scores | None) -> tuple[Face, ...]:
    if not isinstance(decoded, Photo) or scores is None:
        return ()
    whole = decoded.header.width, decoded.header.height
    return tuple(
        replace(face, box=slot_to_photograph(face.box, decoded.size, whole))
        for face in scores.faces
    )


def _detail(decoded: Photo | Refusal) -> str | None:
    return decoded.detail if isinstance(decoded, Refusal) else None
