"""What a camera says of itself, once a second: the one record that health, the API and the dashboard read."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class SourceState(StrEnum):
    """The state of a camera's stream."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    """connected, but no frame for longer than the stall limit"""
    FAILED = "failed"
    """the last attempt failed; another follows after a pause"""
    ENDED = "ended"
    """a file that is not looped came to its end"""
    PAUSED = "paused"
    """its owner does not share it at this hour: nothing is read"""


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera's state, rates and ages. Times are seconds since 1970 UTC; rates are per second."""

    camera: str
    state: SourceState
    state_since_s: float
    reported_s: float
    last_frame_s: float | None = None
    """capture time of the newest decoded frame"""
    last_analysed_s: float | None = None
    """capture time of the newest analysed frame"""
    analysis_age_s: float | None = None
    """age of the newest analysed frame when this was reported; None before the first"""
    not_analysed: str | None = None
    """the stream is live and its frames are not analysed: for how long, and why; also one of the faults"""
    error: str | None = None
    """what went wrong last, in words, with the cure where one is known; secrets removed"""
    width: int | None = None
    height: int | None = None
    codec: str | None = None
    decoded_fps: float = 0.0
    analysed_fps: float = 0.0
    target_fps: float = 0.0
    frames_decoded: int = 0
    frames_analysed: int = 0
    frames_replaced: int = 0
    """model inputs that a newer frame replaced before a model took them"""
    frames_gated: int = 0
    """frames that were due but held back because nothing moved"""
    frames_failed: int = 0
    """frames that the model, or a rule behind it, failed on"""
    decode_errors: int = 0
    reconnects: int = 0
    events: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    """what is wrong with the camera now, by name ("offline", "moved", …), with the reason in words"""
    events_spooled: int = 0
    """events waiting on disk because Redis did not take them"""
    tracks: int = 0
    latency_p50_s: float | None = None
    """capture to events published, median of the last 256 analysed frames"""
    latency_p95_s: float | None = None
    latency: dict[str, Any] | None = None
    """of the last seconds: budget_s, p95_s, stages_p95_s, late_stage, and rung: what the camera gives up to keep its
    budget (hoaban/latency.py)"""
    counts: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """line -> direction -> class -> number"""
    turns: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """line come over -> line left by -> class -> number"""
    zones: dict[str, dict[str, int]] = field(default_factory=dict)
    """zone -> class -> number now inside"""
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """rule -> what it measures now: a crowd's density, a road's level of service"""
    pre_roll_short: str | None = None
    """the encoded stream is kept for less time than it should be, and why; None when all of it is"""
    tiles_skipped: int = 0
    """tiles of analysed pictures that the model had no time for"""
    faces: dict[str, Any] | None = None
    """faces seen and refused, and what each face rule searches or why it is silent; None without a face rule"""
    plates: dict[str, Any] | None = None
    """crops read, and why each plate rule is silent, or null; None without a plate rule"""
    shadow: dict[str, Any] | None = None
    """the candidate that its frames are shown to, and what became of them; None without one"""
    model: dict[str, str] | None = None
    inference: str | None = None
    """name of the inference actor that serves this camera"""
    node: str | None = None
    era: str = ""
    """what its process was started with: after an upgrade, those of another one are replaced"""
    code: str | None = None
    """the version of the software that its process runs"""
    pid: int | None = None
    simulated: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
