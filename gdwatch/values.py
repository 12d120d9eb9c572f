"""The values that the stages hand each other, in the order in which they are made.

inbox ─Drop─▶ read ─Opened─▶ decode ─Photo|Refusal─▶ engine ─Scores─▶ decide ─Decision─▶
ledger ─Entry─▶ filing
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Label = Literal["female", "male"]
Crop = Literal["face", "whole"]  # what of a photograph the classifier sees
Outcome = Literal["female", "male", "unsure", "rejected"]
OUTCOMES: tuple[Outcome, ...] = ("female", "male", "unsure", "rejected")
UnsureReason = Literal[
    "low_confidence", "no_face", "several_faces", "small_face", "blurred", "changed_late"
]
RejectedReason = Literal[
    "empty",
    "not_an_image",
    "unsupported_format",
    "truncated",
    "damaged",
    "too_many_bytes",
    "too_many_pixels",
    "decoder_crashed",
    "decoder_timeout",
    "duplicate",
    "unreadable",
]
Reason = UnsureReason | RejectedReason


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one state of a file from another, without reading it.

    The device is left out on purpose: its number may change when a disk is mounted again.
    """

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A file that is complete and wants a decision.

    path: bytes, absolute, as the kernel knows it.
    received_at: when it was first seen, UTC.
    """

    path: bytes
    identity: Identity
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A drop with its open descriptor; whoever holds this value last closes the descriptor."""

    drop: Drop
    descriptor: int


@dataclass(frozen=True, slots=True)
class Header:
    """What the bytes say before any pixel is decoded. Sizes in pixels of the upright picture."""

    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photograph; what the networks need of its pixels stands in a shared slot.

    size: width and height of what stands there, in pixels.
    decode_ms: what reading, hashing and decoding took in the worker.
    """

    sha256: str
    header: Header
    size: tuple[int, int]
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not a photograph that gdwatch can read.

    detail: one line for the log, in a decoder's own words.
    sha256: None only for `too_many_bytes`, whose bytes are never read, and `unreadable`.
    """

    reason: RejectedReason
    detail: str
    sha256: str | None = None
    header: Header | None = None
    decode_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Box:
    """A face, in pixels of the upright photograph."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Face:
    """A located face and what the classifier says of it.

    score: the locator's, 0 to 1.
    p_male: calibrated probability, 0 to 1.
    sharpness: variance of the Laplacian, see `sharpness`.
    """

    box: Box
    score: float
    p_male: float
    sharpness: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What the networks say of one photograph.

    p_male: of the whole picture; None where faces are, each with its own.
    count: how many faces were located; None where no locator looked.
    faces: the most prominent of them, most prominent first.
    """

    p_male: float | None
    count: int | None = None
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one photograph; `label` is the likelier class also where it is `unsure`."""

    outcome: Outcome
    reason: Reason | None
    label: Label | None = None
    p_male: float | None = None
    confidence: float | None = None
    faces: int | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """The model in service, by the bytes that were really loaded.

    details: the metadata of its file. rules: the settings that shape a decision, as one text.
    """

    sha256: str
    name: str
    version: str
    details: Mapping[str, Any]
    rules: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A drop with its decision, ready for the ledger. Its descriptor is still open."""

    opened: Opened
    decoded: Photo | Refusal
    decision: Decision


@dataclass(frozen=True, slots=True)
class Batch:
    """What was decided together.

    device: where the networks ran; None where no network saw any of it.
    infer_ms: wall, the engine's.
    """

    judged: tuple[Judged, ...]
    model: Serving
    device: str | None
    infer_ms: float
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger that says where a file must go.

    source, target: bytes, absolute.
    """

    id: int
    source: bytes
    target: bytes
    sha256: str | None
    size_bytes: int
    modified_ns: int
