"""OpenTelemetry traces of the frames that had an event: off unless an OTLP endpoint is named in the environment.

A trace is made when its event is there, from the times that the frame carries anyway: other frames cost nothing.
Its id is derived from the event's, so the camera and the writer add to one trace and nothing is carried between them.
OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG thin them out, the same ones in every process.
"""

import functools
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import structlog

from hoaban import __version__
from hoaban.events import Event
from hoaban.latency import STAGES, Marks

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def trace_ids(event_id: str) -> tuple[int, int]:
    """An event's trace id and the id of that trace's first span; neither is ever 0."""
    digest = hashlib.sha256(event_id.encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


class Tracer:
    """Sends spans to the endpoint that the environment names. Raises ImportError without the extra `otel`."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class Ids(RandomIdGenerator):
            """Random ones, but for the first span of a trace."""

            def __init__(self) -> None:
                self.next: tuple[int, int] | None = None

            def generate_trace_id(self) -> int:
                return super().generate_trace_id() if self.next is None else self.next[0]

            def generate_span_id(self) -> int:
                given, self.next = self.next, None
                return super().generate_span_id() if given is None else given[1]

        self._ids = Ids()
        resource = Resource.create({"service.name": "hoaban", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("hoaban")

    def frame(self, events: Sequence[Event], seq: int, marks: Marks) -> None:
        """The way of a frame, from its capture to its events being on disk, for each of its events. One caller."""
        from opentelemetry import context, trace

        at_ns = [int(mark * 1e9) for mark in marks]
        for event in events:
            # The provider asks for the span's id before the trace's: both are those of the event.
            self._ids.next = trace_ids(event.id)
            named = {"hoaban.camera": event.camera, "hoaban.event": event.id, "hoaban.type": event.type}
            whole = self._span("frame", context.Context(), at_ns[0], named | {"hoaban.frame": seq})
            inside = trace.set_span_in_context(whole, context.Context())
            for stage, begin, end in zip(STAGES, at_ns[:-1], at_ns[1:], strict=True):
                self._span(stage, inside, begin, {}).end(max(begin, end))
            whole.end(at_ns[-1])

    def stored(self, events: Sequence[Event], began_s: float, ended_s: float) -> None:
        """Events were written into the store between two times."""
        from opentelemetry import context, trace

        for event in events:
            trace_id, span_id = trace_ids(event.id)
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            first = trace.NonRecordingSpan(trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags))
            inside = trace.set_span_in_context(first, context.Context())
            self._span("store", inside, int(began_s * 1e9), {"hoaban.event": event.id}).end(int(ended_s * 1e9))

    def _span(self, name: str, inside: Any, begin_ns: int, attributes: dict[str, Any]) -> Any:
        return self._tracer.start_span(name, context=inside, start_time=begin_ns, attributes=attributes)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


@functools.cache
def tracer() -> Tracer | None:
    """This process's tracer; None where no endpoint is named, or the extra is not installed."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        return Tracer()
    except ImportError as error:
        log.warning("no traces: install hoaban[otel]", missing=error.name)
        return None
