"""The emulator process: MiniStack with the services of this package, on 127.0.0.1.

When ready, it prints its ports as JSON: ``aws`` for the API, ``http`` and ``https`` for deployed web endpoints, and
``dns`` (UDP). It exits when its standard input is closed, so it never outlives the process that started it.
"""

import argparse
import asyncio
import importlib
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

from ..process import ACCOUNT, REGION, ROOT


def main() -> None:
    """Run until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free port)")
    parser.add_argument("--speed", type=float, default=1.0, help="factor by which schedules run faster")
    parser.add_argument("--directory", required=True, help="folder for temporary files; deleted on exit")
    options = parser.parse_args()
    tempfile.tempdir = options.directory  # MiniStack unpacks functions there
    listeners = {"aws": _listen(options.port), "http": _listen(0), "https": _listen(0)}
    listeners["dns"] = _listen(0, socket.SOCK_DGRAM)
    os.environ.update(
        GATEWAY_PORT=str(_port(listeners["aws"])),
        WEB_PORT=str(_port(listeners["http"])),
        HTTPS_PORT=str(_port(listeners["https"])),
        AUTHORITY=str(Path(options.directory, "authority.pem")),
        MINISTACK_HOST="127.0.0.1",
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        MINISTACK_REGION=REGION,
        LAMBDA_EXECUTOR="local",
        LAMBDA_ACCOUNT_CONCURRENCY="1000",
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        LOG_LEVEL="WARNING",
        STATE_DIR=str(ROOT / ".cache" / "ministack"),
    )
    try:
        importlib.import_module("sandbox.ministack")
    except ImportError as error:  # the installed MiniStack lacks something, or is not installed
        sys.exit(str(error))
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
    """Replace and extend MiniStack's services by those of this package; IAM last, because it checks their calls."""
    for name in (
        "apigateway", "athena", "autoscaling", "awslambda", "budgets", "cloudformation", "cloudfront", "cloudtrail",
        "codecommit", "ec2", "emulator.fault_injection", "resource_types", "route53", "sns",
    ):  # fmt: skip
        importlib.import_module(f"sandbox.{name}").install()
    for name in ("cloudwatch", "codepipeline", "events", "stepfunctions"):
        importlib.import_module(f"sandbox.{name}").install(speed)
    importlib.import_module("sandbox.iam").install()


async def _serve(listeners: dict[str, socket.socket], options: argparse.Namespace) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from .. import apigateway, cloudfront, cloudwatch, route53, sns
    from ..ec2 import metadata
    from ..iam import authorization
    from ..ministack import lambda_functions, requests
    from ..route53 import dns
    from . import web
    from .authentication import require_signature

    _install(options.speed)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("kms").setLevel(logging.ERROR)  # it warns about an optional package that is not needed
    certificates = str(web.write_certificates(Path(options.directory)))
    files = {name: f"fd://{listener.fileno()}" for name, listener in listeners.items()}
    # AWS services send their own server header.
    common = {"loglevel": "WARNING", "graceful_timeout": 1, "include_server_header": False}
    api_config = Config.from_mapping(common, bind=files["aws"])
    web_config = Config.from_mapping(
        common, bind=files["https"], insecure_bind=files["http"], certfile=certificates, keyfile=certificates
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_watch_parent, args=(loop, stopping), daemon=True).start()
    ports = {name: _port(listener) for name, listener in listeners.items()}
    await loop.create_datagram_endpoint(dns.Server, sock=listeners["dns"])
    background = asyncio.gather(
        _print_ports_when_ready(ports), route53.health_checks.run(ports, options.speed), cloudwatch.run()
    )
    api = require_signature(requests.application, ports["aws"], authorization.denial)
    endpoints = web.application([apigateway.serve, cloudfront.serve, sns.serve, metadata.serve], route53.endpoint_at)
    try:
        await asyncio.gather(
            serve(api, api_config, shutdown_trigger=stopping.wait),
            serve(endpoints, web_config, shutdown_trigger=stopping.wait),
        )
    finally:
        background.cancel()
        lambda_functions.end_processes()  # ends the processes of the functions
        shutil.rmtree(options.directory, ignore_errors=True)
        _kill_process_group()


def _kill_process_group() -> None:
    """Kill this process and its child processes.

    An orderly shutdown would wait for threads that wait for functions, and miss functions that are being started.
    `process` starts this process as the leader of a process group.
    """
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)


def _watch_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(stopping.set)


async def _print_ports_when_ready(ports: dict[str, int]) -> None:
    for port in (port for name, port in ports.items() if name != "dns"):  # UDP has no connections
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
