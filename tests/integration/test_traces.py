"""Traces reach a real OTLP collector: of frames with an event alone, one an event, the writer in the same."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from actors import traces
from actors.embedded_redis import EmbeddedRedis
from actors.traces import ENDPOINTS, trace_ids
from actors.writer import StoreWriter
from hoaban.latency import STAGES

pytestmark = pytest.mark.integration
CAMERA = """
import sys, time
from actors.bus import EventBus
from actors.publisher import SpoolingPublisher
from actors.camera import CameraRuntime
from actors.traces import tracer
from hoaban.fleet import SIM_MODEL, Camera
from tests.stub_models import serve
from pathlib import Path

camera = Camera.model_validate({"id": "cam", "name": "n", "role": "shared", "district": "d", "owner": "o",
    "source": "sim://junction?size=320x180&fps=10", "model": SIM_MODEL, "analysis_fps": 10,
    "zones": [{"id": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}],
    "rules": [{"type": "intrusion", "zone": "all", "classes": ["person", "car"], "min_inside_s": 0.2}]})
peer, _ = serve()
publisher = SpoolingPublisher(EventBus(sys.argv[1]), Path(sys.argv[2]))
runtime = CameraRuntime(camera, peers=[peer], node="here", publisher=publisher, board=None)
runtime.start()
ends = time.monotonic() + 60
while runtime.status().events < 2 and time.monotonic() < ends:
    time.sleep(0.1)
runtime.stop()
if tracer() is not None:
    tracer().close()
"""


class Collector:
    """Takes what OTLP over HTTP brings."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def run_camera(redis: EmbeddedRedis, folder: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ENDPOINTS}
    command = [sys.executable, "-c", CAMERA, redis.url, str(folder / "spool")]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True, timeout=120)
    return done.stderr


def test_a_frame_with_an_event_is_traced_from_capture_to_store(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.bus import EventBus
    from actors.store import EventStore

    redis = EmbeddedRedis(tmp_path / "valkey")
    redis.start()
    try:
        logs = run_camera(
            redis, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, HOABAN_LOG="DEBUG", HOABAN_LOG_FORMAT="json"
        )
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        traces.tracer.cache_clear()
        store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
        writer = StoreWriter(EventBus(redis.url), store)
        while writer.run_once(200):
            pass
        stored = {item.event.id: item.event for item in store.page(limit=100).events}
        made = traces.tracer()
        assert made is not None
        made.close()
    finally:
        traces.tracer.cache_clear()
        redis.stop()
    assert stored
    told = [line for line in map(json.loads, filter(None, logs.splitlines())) if line["event"] == "event told"]
    assert {line["event_id"] for line in told} == set(stored)
    assert {line["camera"] for line in told} == {"cam"}
    for name, event in stored.items():
        trace_id, first = trace_ids(name)
        spans = {s.name: s for s in collector.spans if int.from_bytes(s.trace_id) == trace_id}
        assert set(spans) == {"frame", *STAGES, "store"}
        frame = spans["frame"]
        assert int.from_bytes(frame.span_id) == first
        assert not frame.parent_span_id
        assert all(spans[n].parent_span_id == frame.span_id for n in (*STAGES, "store"))
        assert abs(frame.start_time_unix_nano / 1e9 - event.time.timestamp()) < 1e-3
        attributes = {a.key: a.value for a in frame.attributes}
        assert attributes["hoaban.event"].string_value == name
        assert attributes["hoaban.frame"].int_value == event.data["frame"]["seq"]
    # None but frames with an event.
    assert len([s for s in collector.spans if s.name == "frame"]) == len(stored)


def test_it_is_off_by_default_and_a_sampler_thins_it_out(collector: Collector, tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / "valkey")
    redis.start()
    try:
        run_camera(redis, tmp_path)
        run_camera(
            redis, tmp_path / "2", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="traceidratio",
            OTEL_TRACES_SAMPLER_ARG="0",
        )  # fmt: skip
    finally:
        redis.stop()
    assert collector.spans == []
