"""Structured logs on stderr; standard output belongs to answers."""

import contextlib
import logging
import os
import sys
from typing import TextIO, cast

import structlog


def configure() -> None:
    """Key=value lines with plain tracebacks: a log call must never fail, whatever else is installed.

    HOABAN_LOG_FORMAT=json: one JSON object a line, for a log store.
    """
    as_json = os.environ.get("HOABAN_LOG_FORMAT", "").lower() == "json"
    readable = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    in_json = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    level = logging.getLevelNamesMapping().get(os.environ.get("HOABAN_LOG", "INFO").upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            in_json if as_json else readable,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
    )


class _Unfailing:
    """A file of which nobody hears that its disk is full or that it is closed: a line is lost then, and not what was
    to be done after it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the file is closed
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the file is closed
            self._file.flush()
