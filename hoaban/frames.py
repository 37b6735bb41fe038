"""What is known of one frame, apart from its pixels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameMeta:
    """One decoded frame of one camera.

    `captured_s` is the capture time in seconds since 1970-01-01 UTC. For a live stream it is the wall clock
    when the frame arrived, carried forward by the stream's own timestamps; in a replay it is media time.
    `seq` counts decoded frames from 0 and never goes back while the camera's actor lives.
    `width` and `height` are the source frame's, in pixels.
    For live streams also: `arrived_s`, the wall clock when it came; `stream_s`, its place on the stream's own clock,
    which counts from anywhere; `told_s`, its time of day by the camera itself (RTCP), where the stream tells one.
    """

    camera: str
    seq: int
    captured_s: float
    width: int
    height: int
    simulated: bool = False
    arrived_s: float | None = None
    stream_s: float | None = None
    told_s: float | None = None


@dataclass(frozen=True, slots=True)
class Crop:
    """A piece of a source frame, in its pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a source frame, or a crop of it, was fitted into a model's input: scaled, padded at the bottom and right.

    A point (x, y) of the source frame lies at ((x - crop.left) * scale, (y - crop.top) * scale) of the model input.
    """

    scale: float
    width: int
    height: int
    crop: Crop | None = None

    @classmethod
    def fit(
        cls, source_width: int, source_height: int, width: int, height: int, crop: Crop | None = None
    ) -> "Letterbox":
        """The largest uniform scale that fits a source frame, or a crop of it, into `width` x `height` pixels."""
        if crop is not None:
            source_width, source_height = crop.width, crop.height
        if min(source_width, source_height, width, height) <= 0:
            raise ValueError(
                f"a picture has no area: source {source_width}x{source_height}, model input {width}x{height}"
            )
        return cls(min(width / source_width, height / source_height), width, height, crop)
