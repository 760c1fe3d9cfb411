"""The CDK CLI as run by the sandbox."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from sandbox import Sandbox

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]


def test_sigterm_ends_cli_that_prints_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    (tmp_path / "cdk.json").write_text(json.dumps({"app": f"touch {started}; sleep 600"}))
    terminated = []

    def terminate() -> None:
        while not started.exists():
            time.sleep(0.1)
        terminated.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Sandbox() as sandbox:
            Thread(target=terminate, daemon=True).start()
            with pytest.raises(SystemExit):
                sandbox.cdk("ls", application=tmp_path)
            assert time.monotonic() - terminated[0] < 120, "the sandbox waited for the CLI"
    finally:
        signal.signal(signal.SIGTERM, before)
