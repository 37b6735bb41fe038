"""Prometheus metrics of the fleet, made from the cameras' statuses when asked."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from actors.duties import DutyState, State
from actors.store.outbox import TargetState

COUNTERS = {
    "hoaban_frames_decoded": ("frames_decoded", "Frames decoded"),
    "hoaban_frames_analysed": ("frames_analysed", "Frames a model has seen"),
    "hoaban_frames_replaced": ("frames_replaced", "Model inputs that a newer frame replaced"),
    "hoaban_frames_gated": ("frames_gated", "Frames held back because nothing moved"),
    "hoaban_frames_failed": ("frames_failed", "Frames that the model, or a rule behind it, failed on"),
    "hoaban_tiles_skipped": ("tiles_skipped", "Tiles of analysed pictures that the model had no time for"),
    "hoaban_decode_errors": ("decode_errors", "Packets or frames that were damaged"),
    "hoaban_reconnects": ("reconnects", "Connections after the first"),
    "hoaban_events": ("events", "Events published"),
}
GAUGES = {
    "hoaban_events_spooled": ("events_spooled", "Events waiting on disk"),
    "hoaban_tracks": ("tracks", "Tracks in the newest analysed frame"),
    "hoaban_analysis_age_seconds": ("analysis_age_s", "Age of the newest analysed frame"),
    "hoaban_latency_p95_seconds": ("latency_p95_s", "Capture to events published"),
}


class _Fleet:
    def __init__(self, statuses: dict[str, dict[str, Any]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        for family, names in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
            for name, (field, text) in names.items():
                metric = family(name, text, labels=["camera"])
                for camera, status in self._statuses.items():
                    if status.get(field) is not None:
                        metric.add_metric([camera], status[field])
                yield metric
        state = GaugeMetricFamily("hoaban_camera_state", "1 for the state a camera is in", labels=["camera", "state"])
        for camera, status in self._statuses.items():
            state.add_metric([camera, status["state"]], 1)
        yield state
        unseen = GaugeMetricFamily(
            "hoaban_camera_not_analysed", "1 while a live camera's frames are not analysed, else 0", labels=["camera"]
        )
        for camera, status in self._statuses.items():
            unseen.add_metric([camera], int(status.get("not_analysed") is not None))
        yield unseen
        yield from self._latencies()
        fault = GaugeMetricFamily("hoaban_camera_fault", "1 for each fault a camera has", labels=["camera", "fault"])
        for camera, status in self._statuses.items():
            for name in status.get("faults") or {}:
                fault.add_metric([camera, name], 1)
        yield fault

    def _latencies(self) -> Iterator[Metric]:
        stages = GaugeMetricFamily(
            "hoaban_stage_latency_p95_seconds", "Time of frames in each stage of their way", labels=["camera", "stage"]
        )
        budget = GaugeMetricFamily("hoaban_latency_budget_seconds", "Capture to events published", labels=["camera"])
        given_up = GaugeMetricFamily(
            "hoaban_camera_degraded", "1 for the rung a camera with a budget stands on", labels=["camera", "rung"]
        )
        for camera, status in self._statuses.items():
            timing = status.get("latency") or {}
            for stage, seconds in timing.get("stages_p95_s", {}).items():
                stages.add_metric([camera, stage], seconds)
            if timing.get("budget_s") is not None:
                budget.add_metric([camera], timing["budget_s"])
                given_up.add_metric([camera, timing["rung"]], 1)
        yield from (stages, budget, given_up)


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """What is known of the whole system. backlog: events not stored yet, and those that cannot be stored."""

    enabled: int
    reporting: int
    fleet_refused: bool
    backlog: tuple[int, int]
    targets: Sequence[TargetState]
    data_dir: str | None
    duties: Sequence[DutyState]
    pool: Mapping[str, Any] | None = None
    """how many inference actors there should be, as the supervisor tells; None: their number is fixed"""
    nodes: Sequence[str] = ()
    """of each node of the cluster, whether it serves or is drained"""


POOL = {
    "hoaban_pool_wanted": ("wanted", "Inference actors that should run"),
    "hoaban_pool_ready": ("ready", "Inference actors that answer and load no model"),
    "hoaban_pool_room": ("room", "Inference actors that the cluster's nodes have room for"),
    "hoaban_pool_lag_periods": ("lag", "Periods of their cameras that due frames wait for a model"),
    "hoaban_pool_busy": ("busy", "Share of their time that inference actors work"),
}


class _System:
    def __init__(self, figures: SystemFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        found = self._figures
        yield GaugeMetricFamily("hoaban_cameras_enabled", "Cameras that should run", found.enabled)
        yield GaugeMetricFamily("hoaban_cameras_reporting", "Cameras whose process reports", found.reporting)
        refused = int(found.fleet_refused)
        yield GaugeMetricFamily("hoaban_fleet_refused", "1 while the newest edit of the fleet is refused", refused)
        yield GaugeMetricFamily(
            "hoaban_events_unstored", "Events in the stream that no writer stored", found.backlog[0]
        )
        yield GaugeMetricFamily("hoaban_events_buried", "Events put aside: no store takes them", found.backlog[1])
        if found.data_dir is not None:
            disk = shutil.disk_usage(found.data_dir)
            yield GaugeMetricFamily("hoaban_disk_free_bytes", "Free on the data folder's disk", disk.free)
            yield GaugeMetricFamily("hoaban_disk_size_bytes", "Size of the data folder's disk", disk.total)
        sound = GaugeMetricFamily("hoaban_duty_sound", "1 while sealing, or erasing, is done", labels=["duty"])
        for duty in found.duties:
            sound.add_metric([duty.duty], int(duty.state is State.SOUND))
        yield sound
        waiting = GaugeMetricFamily("hoaban_deliveries_waiting", "Events that wait for a target", labels=["target"])
        dead = GaugeMetricFamily("hoaban_deliveries_dead", "Events given up for a target", labels=["target"])
        sent = CounterMetricFamily("hoaban_deliveries", "Events that a target has taken", labels=["target"])
        for target in found.targets:
            waiting.add_metric([target.target], target.waiting)
            dead.add_metric([target.target], target.dead)
            sent.add_metric([target.target], target.delivered)
        yield from (waiting, dead, sent)
        states = GaugeMetricFamily("hoaban_nodes", "Nodes of the cluster", labels=["state"])
        for name in ("serving", "draining", "drained"):
            states.add_metric([name], found.nodes.count(name))
        yield states
        yield from pool_metrics(found.pool)


def pool_metrics(pool: Mapping[str, Any] | None) -> Iterator[Metric]:
    """Of a pool whose size follows its load; none where it is fixed."""
    for name, (key, text) in POOL.items() if pool is not None else ():
        yield GaugeMetricFamily(name, text, pool[key])


def render(statuses: dict[str, dict[str, Any]], system: SystemFigures | None = None) -> bytes:
    """The metrics page in Prometheus' text format. system: for who may see the whole of it."""
    registry = CollectorRegistry()
    registry.register(_Fleet(statuses))  # type: ignore[arg-type]
    if system is not None:
        registry.register(_System(system))  # type: ignore[arg-type]
    return generate_latest(registry)
