"""The only code that uses MiniStack's internal names, one module for each service.

Each module lists what the sandbox reads and calls (`need`) and replaces (`Replaceable`), each with its purpose.
Importing this package checks that the installed version has all of it. The rest of the sandbox, and its tests, use
these names or AWS's public APIs, so an upgrade changes this package only.
"""

from importlib import import_module
from pkgutil import iter_modules

from .names import MissingNameError, check

__all__ = ["MissingNameError"]

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
check()
