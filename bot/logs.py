"""The log: one JSON object a line on standard error, with nothing in it that an exception or a library quotes.

Exceptions quote what they fail on (a row, an argument, a word that somebody said), and libraries log what they are given. So
of an exception the log tells types and places, and of a library's line its template without the values.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

_OURS = frozenset({"bot", "handlers", "locales", "nlu", "wallet_service"})
_CAUSES, _FRAMES = 5, 8  # of an exception that are told, the innermost ones


def set_up(level: str) -> None:
    """Log from this level on; libraries from INFO on at most."""
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    # libraries print what they are given when they debug: statements with their values, codes and phones among them
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_words,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop tell of exceptions that nobody took as everything else does."""
    loop.set_exception_handler(_nobody_took)


def traced(error: BaseException | None) -> str:
    """Tell an exception with its causes: each one's type and the places it came through, never its words."""
    told: list[str] = []
    while error is not None and len(told) < _CAUSES:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = [f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
        told.append(" > ".join([type(error).__name__, *reversed(places)]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " < ".join(told)


def _without_words(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else (info if isinstance(info, tuple) else sys.exc_info())[1]
        event["fault"] = traced(error)
    return event


class _Lines(logging.Formatter):
    """Formats what comes by the standard library's logging."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] in _OURS:
            text = record.getMessage()
        else:
            text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        line = {"logger": record.name, "event": text, "level": record.levelname.lower(), "timestamp": at}
        if record.exc_info:
            line["fault"] = traced(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _nobody_took(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    what = str(context.get("message", "")).partition(" in callback")[0]  # what follows quotes the callback's arguments
    structlog.get_logger().error("nobody took an exception", what=what, fault=traced(context.get("exception")))
