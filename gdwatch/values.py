"""The values that pass between the stages, in the order in which they are made.

inbox ─Drop─▶ read ─Opened─▶ decode ─Photo|Refusal─▶ engine ─Scores─▶ decide ─Decision─▶
ledger ─Entry─▶ filing
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

Label = Literal["female", "male"]
Verdict = Literal["female", "male", "neither", "reject"]  # a person's word on a photograph
Mode = Literal["move", "copy", "link"]  # how a file comes from the inbox to its folder
Crop = Literal["face", "whole"]  # what the classifier sees of a photograph
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
PersonsReason = Literal["by_hand"]  # a person's verdict, whatever the model says
Reason = UnsureReason | RejectedReason | PersonsReason
REASONS: tuple[Reason, ...] = tuple(
    dict.fromkeys(
        reason
        for kind in (UnsureReason, RejectedReason, PersonsReason)
        for reason in get_args(kind)
        if reason != "unreadable"  # never recorded
    )
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What distinguishes one state of a file from another, without reading the file.

    The device is left out on purpose: its number may change when a disk is mounted again.

    modified_ns, changed_ns: modification and status change time, in nanoseconds since the epoch.
    """

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A complete file in the inbox that needs a decision.

    path: bytes, absolute.
    received_at: when it was first seen, UTC.
    """

    path: bytes
    identity: Identity
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A drop with its open descriptor, which the last owner of this value closes."""

    drop: Drop
    descriptor: int


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file's header says. width, height: pixels of the upright picture."""

    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What a photograph's EXIF says of its making; None where it does not.

    taken_at: by the camera's clock, `2026-11-23 18:04:05`, followed by its offset from UTC,
        `+02:00`, if that is known. camera: make and model.
    """

    taken_at: str | None = None
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photograph; the pixels that the networks need are in a slot of shared memory.

    size: width and height of the picture in the slot, in pixels.
    decode_ms: the time that the worker took to read, hash and decode the file.
    """

    sha256: str
    header: Header
    size: tuple[int, int]
    decode_ms: float
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not a photograph that gdwatch can read.

    detail: one line for the log, such as the decoder's message.
    sha256: None only for `too_many_bytes`, whose bytes are never read, and `unreadable`.
    """

    reason: RejectedReason
    detail: str
    sha256: str | None = None
    header: Header | None = None
    decode_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Box:
    """The box of a face. x, y: its upper left corner; all in pixels of the upright photograph."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face with the classifier's result for it.

    score: the locator's, 0 to 1.
    p_male: calibrated probability, 0 to 1, given that it is a face.
    sharpness: variance of the Laplacian, see `sharpness`.
    p_nobody: probability that it is no face, 0 to 1.
    """

    box: Box
    score: float
    p_male: float
    sharpness: float
    p_nobody: float = 0.0


@dataclass(frozen=True, slots=True)
class Scores:
    """The networks' result for one photograph.

    p_male: calibrated probability for the whole picture, 0 to 1; None if there are faces, which
        have their own.
    count: how many faces were detected; None if no locator was run.
    faces: the most prominent ones, most prominent first.
    p_nobody: probability that nobody is on the picture, 0 to 1, if it has no faces.
    model: which of the models in use has answered, from 0.
    """

    p_male: float | None
    count: int | None = None
    faces: tuple[Face, ...] = ()
    p_nobody: float = 0.0
    model: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one photograph.

    label: the likelier class, also if the outcome is `unsure`.
    p_male, confidence: probabilities of `male` and of the label, 0 to 1.
    faces: how many were detected; None if no locator was run. box: the face that was judged.
    """

    outcome: Outcome
    reason: Reason | None
    label: Label | None = None
    p_male: float | None = None
    confidence: float | None = None
    faces: int | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """The model in use, as rows name it.

    sha256: of the bytes that were really loaded. details: the metadata of the model file.
    rules: the settings that shape a decision, as one text.
    """

    sha256: str
    name: str
    version: str
    details: Mapping[str, Any]
    rules: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A drop with its decision, ready for the ledger; its descriptor is still open.

    model: the one that has answered; for a refusal, the first of those in use.
    scores: what it said, with boxes in pixels of the slot; None for a refusal.
    """

    opened: Opened
    decoded: Photo | Refusal
    decision: Decision
    model: Serving
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were decided together.

    device: where the networks ran; None if none of the files was a photograph.
    infer_ms: wall time in the engine.
    model: the one that judged all; in a cascade, a second one has judged some again.
    """

    judged: tuple[Judged, ...]
    model: Serving
    device: str | None
    infer_ms: float
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded row of the ledger: the move of a file from `source` to `target`.

    source, target: absolute paths, bytes.
    mode: with `copy` and `link` a source in the inbox stays there.
    restored_to: the folder that `restore` puts the file into, or has put it into; else None.
    """

    id: int
    source: bytes
    target: bytes
    sha256: str | None
    size_bytes: int
    modified_ns: int
    mode: Mode = "move"
    restored_to: bytes | None = None
