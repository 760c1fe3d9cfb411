"""Lambda: start programs that layers install under /opt.

Python imports this module when a function starts, because its folder is on the function's PYTHONPATH. A program
``/opt/...`` is looked up in the folders to which MiniStack has unpacked the layers. If its interpreter is Lambda's,
``/var/lang/bin/python``, it runs with this one.
"""

import os
import subprocess
import sys
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
