"""Clips and their hand counts cut short, so that a test takes seconds. HOABAN_WHOLE_CLIPS=1 leaves them whole."""

import os
from dataclasses import replace
from pathlib import Path

import av

from actors.suite import OnDisk

WHOLE = bool(os.environ.get("HOABAN_WHOLE_CLIPS"))


def first_seconds(clip: Path, target: Path, seconds: float) -> Path:
    """The clip's packets up to so many seconds, unchanged."""
    if WHOLE:
        return clip
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        video = source.streams.video[0]
        stream, begins_s = out.add_stream_from_template(video), None
        for packet in source.demux(video):
            if packet.dts is None:
                continue
            at_s = float(packet.dts * packet.time_base)
            begins_s = at_s if begins_s is None else begins_s
            if at_s - begins_s >= seconds:
                break
            packet.stream = stream
            out.mux(packet)
    return target


def cut_short(one: OnDisk, folder: Path, seconds: float) -> OnDisk:
    """A recording of which no more than its first seconds are there, and known."""
    if WHOLE:
        return one
    source = first_seconds(Path(one.source), folder / Path(one.source).name, seconds)
    recording = one.suited.recording
    known = tuple(crossing for crossing in recording.crossings if crossing.at_s < seconds - recording.near_s)
    return OnDisk(replace(one.suited, recording=recording.model_copy(update={"crossings": known})), str(source))
