"""The child process: MiniStack with the services of this folder, on 127.0.0.1.

Says ``{"url": ...}`` on standard output when it is ready, and ends when its standard input
is closed, so that it never outlives the process that started it.
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
from typing import Any

from .process import ACCOUNT, REGION


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster schedules run")
    parser.add_argument("--directory", required=True, help="where it keeps its files; removed at the end")
    options = parser.parse_args()
    tempfile.tempdir = options.directory  # the code of the functions goes there
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", options.port))
    except OSError as error:
        sys.exit(f"port {options.port} on 127.0.0.1 cannot be used ({error.strerror}); choose another with --port")
    port = listener.getsockname()[1]
    os.environ.update(
        GATEWAY_PORT=str(port),
        MINISTACK_HOST="127.0.0.1",
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        MINISTACK_REGION=REGION,
        LAMBDA_EXECUTOR="local",
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        LOG_LEVEL="WARNING",
    )
    asyncio.run(_serve(listener, options))


async def _serve(listener: socket.socket, options: argparse.Namespace) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app
    from ministack.core import lambda_runtime

    from . import awslambda, cloudtrail, ec2, events

    awslambda.install()
    ec2.install()
    cloudtrail.install()
    events.install(options.speed)
    logging.getLogger().setLevel(logging.WARNING)
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.loglevel = "WARNING"
    config.graceful_timeout = 1
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_watch_parent, args=(loop, stopping), daemon=True).start()
    ready = asyncio.create_task(_say_when_ready(listener.getsockname()[1]))
    try:
        await serve(app, config, shutdown_trigger=stopping.wait)
    finally:
        ready.cancel()
        lambda_runtime.reset()  # ends the processes of the functions
        shutil.rmtree(options.directory, ignore_errors=True)
        _end_everything()


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


async def _say_when_ready(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.05)
    writer.close()
    message: dict[str, Any] = {"url": f"http://127.0.0.1:{port}"}
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
