"""Facts about the CDK CLI that the sandbox runs."""

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


def test_termination_ends_a_cli_that_says_nothing(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "cdk.json").write_text(json.dumps({"app": f"touch {begun}; sleep 600"}))
    terminated = []

    def terminate() -> None:
        while not begun.exists():
            time.sleep(0.1)
        terminated.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Sandbox() as sandbox:
            Thread(target=terminate, daemon=True).start()
            with pytest.raises(SystemExit):
                sandbox.cdk("ls", application=tmp_path)
            assert time.monotonic() - terminated[0] < 120, "it waited for the CLI"
    finally:
        signal.signal(signal.SIGTERM, before)
