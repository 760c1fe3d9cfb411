"""Client of the sandbox's fault injection."""

from typing import Any

from sandbox import Sandbox
from sandbox.target import control


def inject(sandbox: Sandbox, *faults: dict[str, Any]) -> list[dict[str, Any]]:
    """Replace the faults of the sandbox, and return the previous ones; see `sandbox/emulator/fault_injection.py`."""
    return call(sandbox, faults=faults)


def call(sandbox: Sandbox, **parameters: Any) -> list[dict[str, Any]]:
    """Call `Sandbox.Inject`, and return the remaining faults."""
    replaced: list[dict[str, Any]] = control(sandbox, "Inject", **parameters)["replaced"]
    return replaced
