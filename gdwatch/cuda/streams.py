"""What a CUDA card wants to be asked in a way of its own; a CPU does the plain thing."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gdwatch.decode.reduce import Pixels

_WARM_UPS = 2  # runs before one is recorded, in which libraries choose and take what they need


def pin(memory: Pixels, device: torch.device) -> None:
    """Let the card read this memory by itself; where that fails, the processor waits meanwhile."""
    if device.type != "cuda":
        return
    with torch.cuda.device(device), contextlib.suppress(RuntimeError):
        cudart: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]  # torch: untyped
        cudart.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)
        torch.ones(1, device=device)  # CUDA tells of a failure once more, to whoever asks next


def pinned(pixels: Pixels, device: torch.device) -> Pixels:
    """The same in memory that the card reads by itself."""
    if device.type != "cuda":
        return pixels
    copy: Pixels = torch.from_numpy(pixels).pin_memory().numpy()
    return copy


def require_alive(device: torch.device) -> None:
    """Raise RuntimeError if the card does nothing any more for this process.

    What has written or failed where it must not have ends a CUDA context for good.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stream:
    """What a device is asked to do, one thing after the other; a CPU does it at once."""

    def __init__(self, device: torch.device) -> None:
        self.cuda: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.cuda = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch: untyped

    def active(self) -> contextlib.AbstractContextManager[None]:
        """Within this, the device is asked to do everything in this stream."""
        return torch.cuda.stream(self.cuda)

    def mark(self) -> Callable[[], None]:
        """What waits until the device has done all that it was asked to do before."""
        if self.cuda is None:
            return lambda: None
        # Who waits sleeps: the workers need the core.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch: untyped
        event.record(self.cuda)
        return event.synchronize

    def wait(self) -> None:
        """Wait for all of it."""
        self.mark()()


class Graph:
    """A network that sees batches of one size, at one place in memory.

    CUDA records what it does and repeats it as a whole, which costs the processor one call instead
    of one for each layer; a CPU only runs it.

    given: uint8 (B, 3, S, S), on the device; photographs are copied into it.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], given: Tensor, stream: Stream) -> None:
        self._network = network
        self._given = given
        self._stream = stream
        self._result: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, squares: Tensor) -> Tensor:
        """squares: uint8 (N, 3, S, S), N not more than B.

        Returns the first N rows of what the network answers, in memory that the next call
        overwrites: in the stream, copy it before.
        """
        self._given[: len(squares)] = squares  # the others are what they were before
        if self._stream.cuda is None:
            self._run()
        else:
            if self._graph is None:
                self._graph = self._recorded(self._stream.cuda)
            self._graph.replay()
        assert self._result is not None
        return self._result[: len(squares)]

    def _recorded(self, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        for _ in range(_WARM_UPS):
            self._run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._run()
        return graph

    def _run(self) -> None:
        answer = self._network(self._given)
        if self._result is None:  # not while CUDA records: it is to stay
            self._result = torch.empty_like(answer)
        self._result.copy_(answer)
