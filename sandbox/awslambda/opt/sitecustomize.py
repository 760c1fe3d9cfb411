"""Lambda: start programs that layers install under /opt, reach deployed web endpoints, and format logs as JSON.

Python imports this module when a function starts, because its folder is on the function's PYTHONPATH. A program
``/opt/...`` is looked up in the folders to which MiniStack has unpacked the layers. If its interpreter is Lambda's,
``/var/lang/bin/python``, it runs with this one. The host names of deployed web endpoints are the sandbox's web ports.
"""

import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

LAYERS = [Path(folder) for folder in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if folder]
popen_init = subprocess.Popen.__init__


def start_from_layers(self: Any, args: Any, *more: Any, **options: Any) -> None:
    """Start a program, replacing /opt by the folder of the layer that has it."""
    if isinstance(args, list) and str(args[0]).startswith("/opt/"):
        candidates = (layer / str(args[0]).removeprefix("/opt/") for layer in LAYERS)
        program = next((path for path in candidates if path.is_file()), None)
        if program is not None:
            with program.open("rb") as file:
                interpreter = [sys.executable] if file.readline().startswith(b"#!/var/lang/bin/python") else []
            args = [*interpreter, str(program), *args[1:]]
    popen_init(self, args, *more, **options)


subprocess.Popen.__init__ = start_from_layers  # type: ignore[method-assign]


WEB_HOST = re.compile(r"(.+\.)?example\.com|.+\.cloudfront\.net|.+\.execute-api\.[a-z0-9-]+\.amazonaws\.com")
HTTP_PORT, HTTPS_PORT = os.environ["SANDBOX_WEB_PORTS"].split()
getaddrinfo = socket.getaddrinfo


def resolve(host: Any, port: Any, *more: Any, **options: Any) -> Any:
    """Return the address of a host; for a web endpoint, that of the sandbox's web port."""
    if WEB_HOST.fullmatch(str(host)):
        return getaddrinfo("127.0.0.1", HTTPS_PORT if str(port) == "443" else HTTP_PORT, *more, **options)
    return getaddrinfo(host, port, *more, **options)


socket.getaddrinfo = resolve


class JsonFormatter(logging.Formatter):
    """Formats a record with the keys that Lambda's Python runtime uses, and the extra attributes of the record."""

    def format(self, record: logging.LogRecord) -> str:
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ")
        entry: dict[str, Any] = {
            "timestamp": at,
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            entry |= {"stackTrace": traceback.format_tb(trace), "errorType": kind.__name__, "errorMessage": str(error)}
        extra = vars(record).keys() - STANDARD_ATTRIBUTES - entry.keys()
        return json.dumps(entry | {name: getattr(record, name) for name in sorted(extra)}, default=str)


STANDARD_ATTRIBUTES = vars(logging.makeLogRecord({})).keys() | {"message"}
if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
    JsonFormatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO"))
