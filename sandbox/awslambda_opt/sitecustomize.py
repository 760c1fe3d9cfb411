"""Lambda: what layers bring is found under /opt, as functions expect.

Python imports this by itself at the start of every function, for the folder is on the
function's PYTHONPATH. A program started as ``/opt/...`` is looked for in the folders into which
MiniStack has unpacked the layers; Lambda's own interpreter, ``/var/lang/bin/python``, is this one.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LAYERS = [Path(folder) for folder in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if folder]
start = subprocess.Popen.__init__


def start_from_layers(self: Any, args: Any, *more: Any, **options: Any) -> None:
    """Start a program, with /opt standing for the layers."""
    if isinstance(args, list) and str(args[0]).startswith("/opt/"):
        candidates = (layer / str(args[0]).removeprefix("/opt/") for layer in LAYERS)
        program = next((path for path in candidates if path.is_file()), None)
        if program is not None:
            with program.open("rb") as file:
                interpreter = [sys.executable] if file.readline().startswith(b"#!/var/lang/bin/python") else []
            args = [*interpreter, str(program), *args[1:]]
    start(self, args, *more, **options)


subprocess.Popen.__init__ = start_from_layers  # type: ignore[method-assign]
