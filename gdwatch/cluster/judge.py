"""The actor that judges: a whole pipeline, with its workers and its engine, on a node of a cluster.

What a hostile picture breaks is a worker of it, as in the service; the actor only holds bytes.
"""

import socket
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError

from gdwatch import __version__
from gdwatch.cluster import parts, storage
from gdwatch.cluster.parts import Part
from gdwatch.cluster.shared_pipeline import JudgedBytes, SharedPipeline
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.inference import model_file
from gdwatch.jobs.classify import Answer, answer
from gdwatch.pipeline import decide
from gdwatch.settings import Settings
from gdwatch.values import Refusal, Serving

_READ_AHEAD = 1  # slices of a part that are read while one is judged; more need more processes


@dataclass(frozen=True, slots=True)
class Order:
    """What a judge is started with.

    version: of gdwatch at the driver. settings: as JSON would have them.
    model: the bytes of a model file that the nodes may not have; None for a model of the package.
    sha256: of the models that must judge. storages: see `storage.configuration`.
    """

    version: str
    settings: Mapping[str, Any]
    model: bytes | None
    sha256: tuple[str, ...]
    storages: Mapping[str, Any]

    @classmethod
    def of(cls, settings: Settings) -> "Order":
        """Read the model here. Raises ActionNeeded if it cannot be used."""
        files = model_file.read_models(settings.model, settings.crop)
        is_packaged = all(file.path.parent == model_file.PACKAGED for file in files)
        return cls(
            __version__,
            settings.model_dump(mode="json", exclude={"database"}),  # its password stays here
            None if is_packaged else files[0].content,
            tuple(file.sha256 for file in files),
            storage.configuration(),
        )


class Judge:
    """One pipeline of a node. cpus: how many cores it may use. on_card: whether it has a card.

    Raises GdwatchError if this node cannot do what was ordered.
    """

    def __init__(self, order: Mapping[str, Any], cpus: int, *, on_card: bool) -> None:
        if order["version"] != __version__:
            raise ActionNeeded(
                f"node {socket.gethostname()} has gdwatch {__version__}, not {order['version']}",
                "install the same version on all nodes",
            )
        settings = Settings(**order["settings"])
        self._storages = order["storages"]
        update: dict[str, Any] = {"workers": cpus}
        if order["model"] is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="gdwatch-model-")
            update["model"] = str(Path(self._folder.name) / Path(settings.model).name)
            Path(update["model"]).write_bytes(order["model"])
        if not on_card and settings.device == "auto":
            update["device"] = "cpu"
        self._settings = settings.model_copy(update=update)
        try:
            self._pipeline = SharedPipeline(self._settings)
        except GdwatchError as error:  # of a kind that can be sent
            raise ActionNeeded(
                f"node {socket.gethostname()}: {error.message}", error.hint
            ) from None
        if tuple(each.sha256 for each in self._pipeline.models) != tuple(order["sha256"]):
            raise ActionNeeded(
                f"node {socket.gethostname()} has another model {settings.model}",
                "install the same gdwatch on all nodes",
            )

    def models(self) -> tuple[Serving, ...]:
        """Return the models that judge, once they are ready."""
        return self._pipeline.models

    def judge(self, contents: Sequence[bytes]) -> list[JudgedBytes]:
        """Judge the bytes of files. Raises GdwatchError."""
        return self._judged(contents)

    def classify(self, output: storage.Place, number: int) -> parts.Written:
        """Judge one part's pictures, write their answers, and count them.

        Raises StorageFailed if a picture cannot be read now or the answers not be written; then
        nothing is written of this part.
        """
        part = parts.read(output, number)
        answers: list[Answer] = []
        for pictures, contents in self._contents(part):
            found = iter(self._judged([each for each in contents if isinstance(each, bytes)]))
            for picture, content in zip(pictures, contents, strict=True):
                judged = next(found) if isinstance(content, bytes) else None
                answers.append(self._answer(picture, judged, content))
        return parts.write(output, number, answers)

    def _judged(self, contents: Sequence[bytes]) -> list[JudgedBytes]:
        try:
            return self._pipeline.judge(contents)
        except GdwatchError as error:
            raise GdwatchError(
                f"node {socket.gethostname()}: {error.message}", error.hint
            ) from None

    def _contents(self, part: Part) -> Iterator[tuple[storage.Slice, list[bytes | Refusal]]]:
        """Yield slices of the part with what was read of each picture, in order."""
        here = ray.get_runtime_context().get_node_id()
        read = storage.read_on_node.options(
            scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                here, soft=True
            )
        )
        running: deque[tuple[storage.Slice, Any]] = deque()
        for each in storage.slices(part.pictures):
            running.append((each, read.remote(each, self._settings.max_bytes, self._storages)))
            if len(running) > _READ_AHEAD:
                yield _got(*running.popleft())
        while running:
            yield _got(*running.popleft())

    def _answer(
        self, picture: storage.Picture, judged: JudgedBytes | None, content: bytes | Refusal
    ) -> Answer:
        models = self._pipeline.models
        if judged is not None:
            header = judged.decoded.header
            return answer(picture.path, judged.decision, header, models[judged.model])
        assert isinstance(content, Refusal)
        return answer(picture.path, decide.refuse(content), None, models[0])


def _got(pictures: storage.Slice, reference: Any) -> tuple[storage.Slice, list[bytes | Refusal]]:
    try:
        return pictures, ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, GdwatchError):
            raise error.cause from None
        raise
