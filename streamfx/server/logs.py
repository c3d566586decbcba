"""Log lines on the error stream: text for people, JSON lines for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Literal

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

Format = Literal["text", "json"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# The path of a WHIP or WHEP session is the secret that ends it.
_SECRET = re.compile(r"^(/wh[ie]p/session/)[^/]+")
# What these say below WARNING is for their own authors.
_NOISY = ("aioice", "aiortc", "libav", "asyncio", "PIL")


def configure(level: str, form: Format) -> None:
    """Send the log of the whole program to the error stream.

    Args:
        level: debug, info, warning or error.
        form: of the lines.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    if level != "debug":
        for name in _NOISY:
            logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class TextFormatter(logging.Formatter):
    """`12:30:59 info    stream opened stream=live`"""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        # One record is one line, whatever a client put into a name.
        said = (record.getMessage() + fields).replace("\n", "\\n").replace("\r", "\\r")
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        return f"{clock} {record.levelname.lower():7} {said}{trace}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (seconds since 1970), level, logger, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class AccessLogger(AbstractAccessLogger):
    """One line a request, without its query and without the secret of a session."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        self.logger.info(
            "request",
            extra={
                "method": request.method,
                "path": without_secret(request.path),
                "status": response.status,
                "ms": round(time * 1000, 1),
                "peer": request.remote,
            },
        )

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)


def without_secret(path: str) -> str:
    """A request's path as it may be logged."""
    return _SECRET.sub(r"\1…", path)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
