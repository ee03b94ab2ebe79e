"""Log lines on stderr, for people (console) or machines (one JSON object a line): structlog over `logging`."""

from __future__ import annotations

import logging
import sys
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from openledger.node.config import LogConfig

_QUIET = ("asyncio", "aiohttp.access", "aiohttp.server", "eth", "py-evm", "fsspec")


def _own_fault(record: logging.LogRecord) -> bool:
    """False where a client sent what is not HTTP: it was answered, and anybody could fill the log with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _with_fields(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Fields that a line of `logging` brought (``extra={"fields": {...}}``) beside the line's own."""
    for name, value in event.pop("fields", {}).items():
        event.setdefault(name, value)
    return event


def setup(config: LogConfig) -> None:
    """Send all loggers of the process to stderr in the configured form. Call once, first."""
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _with_fields,
        structlog.processors.TimeStamper(
            fmt="iso" if config.format == "json" else "%H:%M:%S", utc=config.format == "json"
        ),
    ]
    if config.format == "json":
        renderer: Any = structlog.processors.JSONRenderer()
        final = [structlog.processors.format_exc_info, renderer]
    else:
        plain = structlog.dev.plain_traceback  # never the values of variables: a key may be among them
        colors = sys.stderr.isatty()
        final = [structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0, exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_own_fault)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
