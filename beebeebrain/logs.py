"""One log pipeline for Django, Daphne, Channels and our own loggers: structlog, redacted, JSON by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from security.plainlog import structlog  # isort: skip  (before anybody else imports it)
from structlog.typing import EventDict, WrappedLogger

from security.redaction import redact_data

# What every line passes, ours and everybody else's.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secrets in a line; runs after exceptions became text."""
    internal = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    clean: EventDict = redact_data(event)
    clean.update(internal)
    return clean


def configure() -> None:
    """Point structlog at the standard library's logging, which `configuration` sets up."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def configuration(*, level: str, style: str, file: Path | None) -> dict[str, Any]:
    """Return Django's LOGGING."""
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if style == "console":
        renderer = structlog.dev.ConsoleRenderer()
    handler: dict[str, Any] = {"class": "logging.StreamHandler", "formatter": "line"}
    if file is not None:
        handler = {"class": "logging.FileHandler", "filename": str(file), "formatter": "line"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.processors.format_exc_info,
                    _redacted,
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    renderer,
                ],
            },
        },
        "handlers": {"main": handler},
        "root": {"handlers": ["main"], "level": level},
        "loggers": {
            # Django's own console handler would print each line a second time, not as JSON.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            # One line a request comes from django-structlog already.
            "django.channels.server": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
            "uvicorn.error": {"level": "WARNING"},
            "uvicorn.access": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
        },
    }
