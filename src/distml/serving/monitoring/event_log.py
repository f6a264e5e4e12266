"""Structured logs of every library: one line of JSON per event, on stderr."""

import json
import logging
import logging.config
import warnings
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady

_logger = logging.getLogger("predictor")
# KServe logs a stack trace of each refusal and of each probe of a draining server, and gRPC of each request that is not
# a message. The metrics count refusals.
_NOT_WORTH_LOGGING = (InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady, DecodeError)


def event(name: str, **facts: object) -> None:
    """Log an event; `facts` must be serialisable as JSON."""
    _logger.info(name, extra={"facts": facts})


def failure(name: str, **facts: object) -> None:
    """Log an event that needs attention, with the exception being handled, if any."""
    _logger.error(name, extra={"facts": facts}, exc_info=True)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return False for the stack trace of a refusal."""
    return not (record.exc_info and isinstance(record.exc_info[1], _NOT_WORTH_LOGGING))


def configure() -> None:
    """Log the events of every library as JSON, without KServe's and uvicorn's line per request."""
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # KServe uses it
    handlers = {"lines": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["worth_logging"]}}
    quiet = {"level": "WARNING", "handlers": [], "propagate": True}
    # Without any handler, uvicorn does not even format its line per request.
    silent = {"handlers": [], "propagate": False}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": _Line}},
            "filters": {"worth_logging": {"()": lambda: _is_worth_logging}},
            "handlers": handlers,
            "root": {"level": "INFO", "handlers": ["lines"]},
            "loggers": {"uvicorn.access": silent} | {name: quiet for name in ("kserve", "kserve.trace", "uvicorn")},
        }
    )
