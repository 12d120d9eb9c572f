"""Page-locked memory, CUDA streams and CUDA graphs; on a CPU, the same calls run at once."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gdwatch.decode.reduce import Pixels

_WARM_UPS = 2  # runs before the capture, in which libraries choose kernels and allocate memory


def pin(memory: Pixels, device: torch.device) -> None:
    """Page-lock memory, so that uploads are asynchronous; if that fails, uploads block the CPU."""
    if device.type != "cuda":
        return
    with torch.cuda.device(device), contextlib.suppress(RuntimeError):
        cudart: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]  # torch: untyped
        cudart.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)
        torch.ones(1, device=device)  # CUDA raises the error once more, at the next call


def pinned(pixels: Pixels, device: torch.device) -> Pixels:
    """Return a copy in page-locked memory, see `pin`; on a CPU, `pixels` itself."""
    if device.type != "cuda":
        return pixels
    copy: Pixels = torch.from_numpy(pixels).pin_memory().numpy()
    return copy


def require_alive(device: torch.device) -> None:
    """Raise RuntimeError if this process can no longer use the card.

    An illegal memory access, or a failure within a kernel, ends a CUDA context for good.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stream:
    """A queue of work for a device, which runs in order; a CPU runs it at once."""

    def __init__(self, device: torch.device) -> None:
        self.cuda: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.cuda = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch: untyped

    def active(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager, within which all work is enqueued in this stream."""
        return torch.cuda.stream(self.cuda)

    def mark(self) -> Callable[[], None]:
        """Return a function that blocks until the device has done all work enqueued so far."""
        if self.cuda is None:
            return lambda: None
        # Blocking: the waiting thread sleeps, because the workers need the core.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch: untyped
        event.record(self.cuda)
        return event.synchronize

    def wait(self) -> None:
        """Block until the device has done all work enqueued so far."""
        self.mark()()


class Graph:
    """A network with a fixed batch size and a fixed input buffer, run as a CUDA graph.

    CUDA captures the work of the network and replays it as a whole, which costs the CPU one call
    instead of one for each layer. On a CPU, the network just runs.

    given: the input buffer, uint8 (B, 3, S, S), on the device.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], given: Tensor, stream: Stream) -> None:
        self._network = network
        self._given = given
        self._stream = stream
        self._result: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, squares: Tensor) -> Tensor:
        """Run the network.

        squares: uint8 (N, 3, S, S), on the device, N not more than B.

        Returns the first N rows of the network's output, in a buffer that the next call
        overwrites: enqueue a copy before.
        """
        self._given[: len(squares)] = squares  # the other rows keep what they had
        if self._stream.cuda is None:
            self._run()
        else:
            if self._graph is None:
                self._graph = self._captured(self._stream.cuda)
            self._graph.replay()
        assert self._result is not None
        return self._result[: len(squares)]

    def _captured(self, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        for _ in range(_WARM_UPS):
            self._run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._run()
        return graph

    def _run(self) -> None:
        answer = self._network(self._given)
        if self._result is None:  # before the capture, whose memory the graph may reuse
            self._result = torch.empty_like(answer)
        self._result.copy_(answer)
