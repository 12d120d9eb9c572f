"""The judges of a cluster: started on each node, given work, replaced when a node is lost or joins.

Work of a judge that has died is given to another. Ray restarts no actor here: one of a node that is
gone would wait for its return, and its work with it.
"""

import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import ray
import structlog
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gdwatch import __version__
from gdwatch.cluster.connection import first_line
from gdwatch.cluster.judge import Judge, Order
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.settings import Settings
from gdwatch.values import Serving

log = structlog.get_logger()

Work = TypeVar("Work")

_DEPTH = 2  # pieces of work at a judge, so that it is busy while the end of one is written
_LOOK_S = 2.0
_START_S = 300.0
_WITHOUT_S = 60.0  # how long to wait for a node when all are gone
_MOST_DEATHS = 3  # judges that may die with the same work
_MOST_CPUS = 8  # of one judge: more engines than that many cores feed are of no use to one pipeline


@dataclass(frozen=True, slots=True)
class Share:
    """What one judge gets of its node."""

    node: str
    cpus: int
    gpus: int


@dataclass(eq=False, slots=True)
class _Member:
    share: Share
    actor: Any
    ready: Any
    started_s: float
    is_ready: bool = False
    running: int = 0


@dataclass(frozen=True, slots=True)
class Done(Generic[Work]):
    """Work with its result: what the method has returned, or the error that it has raised."""

    work: Work
    result: Any


class _Desk(Generic[Work]):
    """The work of one call of `JudgePool.each`: what is to be done, and who does what.

    running: by the reference to its result.
    """

    def __init__(
        self, method: str, works: Iterator[Work], given: Callable[[Work], tuple[Any, ...]]
    ) -> None:
        self.running: dict[Any, tuple[_Member, Work]] = {}
        self._method = method
        self._works = works
        self._given = given
        self._again: deque[Work] = deque()
        self._deaths: Counter[int] = Counter()  # by the identity of the work
        self._more = True

    @property
    def is_empty(self) -> bool:
        """Whether all is done."""
        return not (self.running or self._again or self._more)

    def hand_out(self, member: _Member) -> bool:
        """Give a judge the next work; False if there is none."""
        work = self._again.popleft() if self._again else next(self._works, None)
        if work is None:
            self._more = False
            return False
        reference = getattr(member.actor, self._method).remote(*self._given(work))
        self.running[reference] = member, work
        member.running += 1
        return True

    def taken_back(self, reference: Any) -> tuple[_Member, Work]:
        """Return who did this work, which is done or lost."""
        member, work = self.running.pop(reference)
        member.running -= 1
        return member, work

    def again(self, work: Work, error: Exception) -> None:
        """Let another judge do this work. Raises GdwatchError if it has cost several already."""
        self._deaths[id(work)] += 1
        if self._deaths[id(work)] == _MOST_DEATHS:
            raise GdwatchError(
                f"{_MOST_DEATHS} judges have died with the same work: {first_line(error)}",
                "give the nodes more memory, or set worker_memory_mb lower",
            ) from error
        self._again.append(work)


def _result(reference: Any) -> Any:
    """Return what a method has returned, or the GdwatchError that it has raised."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, GdwatchError):
            return error.cause
        raise


class JudgePool:
    """The judges of the cluster that this process is connected to.

    models: those that judge. Raises GdwatchError if no judge can be started.
    """

    def __init__(self, settings: Settings) -> None:
        self._order = asdict(Order.of(settings))
        self._own_cpus = None if settings.workers == "auto" else settings.workers
        self._members: list[_Member] = []
        self._looked_s = -math.inf
        self._alone_since_s = time.monotonic()
        self.models: tuple[Serving, ...] = ()
        self._look()
        while not self.models:
            self._wait()

    @property
    def ready(self) -> int:
        """How many judges are ready."""
        return sum(member.is_ready for member in self._members)

    def each(
        self, method: str, works: Iterator[Work], given: Callable[[Work], tuple[Any, ...]]
    ) -> Iterator[Done[Work]]:
        """Let the judges do each work, and yield the results as they come.

        method: of `Judge`. given: its arguments for a work. A GdwatchError that it raises is a
        result. Raises GdwatchError if no judge is left, or several have died of the same work.
        """
        desk = _Desk(method, works, given)
        while True:
            self._look()
            while (member := self._least_busy()) is not None and desk.hand_out(member):
                pass
            if desk.is_empty:
                return
            for reference in self._wait(list(desk.running)):
                member, work = desk.taken_back(reference)
                try:
                    yield Done(work, _result(reference))
                except RayTaskError:
                    raise
                except RayError as error:  # the judge is lost, or what it was sent
                    self._lost(member, error)
                    desk.again(work, error)

    def close(self) -> None:
        """End every judge."""
        for member in self._members:
            with contextlib.suppress(RayError):
                ray.kill(member.actor)
        self._members = []

    # ------------------------------------------------------------------ judges

    def _look(self) -> None:
        """Start judges on nodes that have none."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        self._looked_s = now
        have = Counter(member.share.node for member in self._members)
        for share in shares(_nodes(), self._own_cpus):
            if have[share.node]:
                have[share.node] -= 1
            else:
                self._members.append(self._started(share))

    def _started(self, share: Share) -> _Member:
        actor: Any = (
            ray.remote(Judge)
            .options(
                num_cpus=share.cpus,
                num_gpus=share.gpus,
                max_restarts=0,
                max_concurrency=_DEPTH + 1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(share.node, soft=False),
            )
            .remote(self._order, share.cpus, on_card=share.gpus > 0)
        )
        return _Member(share, actor, actor.models.remote(), time.monotonic())

    def _least_busy(self) -> _Member | None:
        free = [each for each in self._members if each.is_ready and each.running < _DEPTH]
        return min(free, key=lambda member: member.running, default=None)

    def _wait(self, running: list[Any] | None = None) -> list[Any]:
        """Wait a moment, for a result or a judge that gets ready; return the results."""
        starting = {each.ready: each for each in self._members if not each.is_ready}
        wanted = [*(running or ()), *starting]
        if not wanted:
            time.sleep(0.2)
            self._require_judges()
            self._look()
            return []
        done, _ = ray.wait(wanted, num_returns=1, timeout=_LOOK_S)
        for reference in done:
            if reference in starting:
                self._got_ready(starting[reference])
        self._require_judges()
        return [each for each in done if each not in starting]

    def _got_ready(self, member: _Member) -> None:
        try:
            self.models = ray.get(member.ready)
        except RayActorError as error:
            if (why := _refusal(error)) is not None:
                raise why from error
            self._lost(member, error)
        else:
            member.is_ready = True

    def _lost(self, member: _Member, error: Exception) -> None:
        if member in self._members:
            self._members.remove(member)
            log.warning("cluster.judge_lost", node=member.share.node, reason=first_line(error))
            with contextlib.suppress(RayError):
                ray.kill(member.actor)

    def _require_judges(self) -> None:
        """Raise GdwatchError if there has been no judge for too long."""
        now = time.monotonic()
        if any(member.is_ready for member in self._members):
            self._alone_since_s = now
            return
        starting = [member.started_s for member in self._members]
        if now - self._alone_since_s > (_START_S if starting else _WITHOUT_S):
            total, free = (_cpus(of) for of in (ray.cluster_resources, ray.available_resources))
            raise GdwatchError(
                f"no judge could be started: {free:g} of the cluster's {total:g} CPUs are free",
                "wait for other work there to end, or add a node; what was judged is kept",
            )


def _nodes() -> list[dict[str, Any]]:
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def _cpus(resources: Callable[[], Any]) -> float:
    return float(resources().get("CPU", 0))


def shares(nodes: list[dict[str, Any]], own_cpus: int | None) -> list[Share]:
    """Divide the nodes among judges: one for each card, else one for each eight cores.

    nodes: as Ray lists them. own_cpus: the setting `workers`; None for `auto`.
    """
    found: list[Share] = []
    for node in nodes:
        cpus = int(node["Resources"].get("CPU", 0))
        gpus = int(node["Resources"].get("GPU", 0))
        if not node["Alive"] or not cpus:
            continue
        count = gpus or (cpus // own_cpus if own_cpus else math.ceil(cpus / _MOST_CPUS))
        each = min(own_cpus or cpus, max(1, cpus // max(1, count)))
        found += [Share(node["NodeID"], each, min(gpus, 1))] * max(1, count)
    return found


def _refusal(error: RayActorError) -> GdwatchError | None:
    """Return why a judge could not start; None if it was only lost."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RayTaskError):
        cause = cause.cause
    if isinstance(cause, GdwatchError):
        return cause
    text = str(error)
    for wanted in ("GdwatchError: ", "ActionNeeded: "):
        if wanted in text:
            return ActionNeeded(text.rpartition(wanted)[2].splitlines()[0])
    if "ModuleNotFoundError" in text or "ImportError" in text:
        return ActionNeeded(
            f"a node has no gdwatch, or lacks what it needs: {text.strip().splitlines()[-1]}",
            f"install gdwatch[ray] {__version__} on all nodes",
        )
    return None
