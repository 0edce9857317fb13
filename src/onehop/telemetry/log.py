"""Logging: JSON for machines, colours for a terminal, the same facts in both."""

import logging
import sys
from typing import Any, Final

import structlog

LEVELS: Final = ("debug", "info", "warning", "error")


def configure_logging(*, level: str = "info", as_json: bool | None = None) -> None:
    """Send log lines to stderr from now on.

    Args:
        level: one of `LEVELS`.
        as_json: one JSON object a line; None decides by whether stderr is a terminal.
    """
    if as_json is None:
        as_json = not sys.stderr.isatty()
    number = logging.getLevelNamesMapping()[level.upper()]
    finish: list[Any] = (
        [_tracebacks(), structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs(shared, finish)


def _tracebacks() -> Any:
    """Return a processor for exceptions that leaves local variables out: they may be secrets."""
    return structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )


def _adopt_library_logs(shared: list[Any], finish: list[Any]) -> None:
    """Give what libraries log the same form; below warning it is their business, not ours."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
