"""The child process: MiniStack with the services of this folder, on 127.0.0.1.

Says its ports on standard output when it is ready, as JSON: ``aws`` for the API, ``http`` and
``https`` for viewers of what is deployed, ``dns`` for names (UDP), and ends when its standard
input is closed, so that it never outlives the process that started it.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from .process import ACCOUNT, REGION, ROOT


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster schedules run")
    parser.add_argument("--directory", required=True, help="where it keeps its files; removed at the end")
    options = parser.parse_args()
    tempfile.tempdir = options.directory  # the code of the functions goes there
    listeners = {"aws": _listen(options.port), "http": _listen(0), "https": _listen(0)}
    listeners["dns"] = _listen(0, socket.SOCK_DGRAM)
    os.environ.update(
        GATEWAY_PORT=str(_port(listeners["aws"])),
        MINISTACK_HOST="127.0.0.1",
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        MINISTACK_REGION=REGION,
        LAMBDA_EXECUTOR="local",
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        LOG_LEVEL="WARNING",
        STATE_DIR=str(ROOT / ".cache" / "ministack"),
    )
    asyncio.run(_serve(listeners, options))


def _listen(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    listener = socket.socket(type=kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); choose another with --port")
    return listener


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def _install(speed: float) -> None:
    """Put the services of this folder before MiniStack's."""
    from . import (
        apigateway,
        athena,
        awslambda,
        cloudformation,
        cloudfront,
        cloudtrail,
        codecommit,
        codepipeline,
        ec2,
        events,
        faults,
        glue,
        route53,
        s3,
        stepfunctions,
        wafv2,
        xray,
    )

    untimed = (
        apigateway,
        athena,
        awslambda,
        cloudformation,
        cloudfront,
        cloudtrail,
        codecommit,
        ec2,
        faults,
        glue,
        route53,
        s3,
        wafv2,
        xray,
    )
    for service in untimed:
        service.install()
    for timed in (codepipeline, events, stepfunctions):
        timed.install(speed)


async def _serve(listeners: dict[str, socket.socket], options: argparse.Namespace) -> None:
    from hypercorn.asyncio import serve
    from ministack.app import app
    from ministack.core import lambda_runtime

    from . import apigateway, cloudfront, route53, web
    from .authentication import require_signature
    from .route53 import dns

    _install(options.speed)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("kms").setLevel(logging.ERROR)  # it misses a package for what no system uses
    aws, viewers = _server(), _server()
    aws.bind = [f"fd://{listeners['aws'].fileno()}"]
    viewers.bind = [f"fd://{listeners['https'].fileno()}"]
    viewers.insecure_bind = [f"fd://{listeners['http'].fileno()}"]
    viewers.certfile = viewers.keyfile = str(web.write_certificates(Path(options.directory)))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_watch_parent, args=(loop, stopping), daemon=True).start()
    ports = {name: _port(listener) for name, listener in listeners.items()}
    await loop.create_datagram_endpoint(dns.Server, sock=listeners["dns"])
    besides = [
        asyncio.create_task(_say_when_ready(ports)),
        asyncio.create_task(route53.health_checks.run(ports, options.speed)),
    ]
    front = web.application([apigateway.serve, cloudfront.serve], route53.endpoint_at)
    try:
        await asyncio.gather(
            serve(require_signature(app, ports["aws"]), aws, shutdown_trigger=stopping.wait),
            serve(front, viewers, shutdown_trigger=stopping.wait),
        )
    finally:
        for task in besides:
            task.cancel()
        lambda_runtime.reset()  # ends the processes of the functions
        shutil.rmtree(options.directory, ignore_errors=True)
        _end_everything()


def _server() -> Any:
    from hypercorn.config import Config

    config = Config()
    config.loglevel = "WARNING"
    config.include_server_header = False  # AWS's services send their own
    config.graceful_timeout = 1
    return config


def _end_everything() -> None:
    """End this process and all that it has started.

    At once: a thread that waits for a function's answer, or a function that is started just
    now, would outlive any orderly end. The process leads a group of its own (see `process`).
    """
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)


def _watch_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(stopping.set)


async def _say_when_ready(ports: dict[str, int]) -> None:
    for port in (port for name, port in ports.items() if name != "dns"):  # over UDP nobody connects
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.05)
        writer.close()
    print(json.dumps(ports), flush=True)


if __name__ == "__main__":
    main()
