"""Looks up MiniStack's names. `check` reports every name that the installed version lacks or has changed."""

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

importlib.import_module("ministack")  # first, so that its absence is reported as such
VERSION = f"MiniStack {version('ministack')}"
PROBLEMS: list[str] = []


class MissingNameError(ImportError):
    """The installed MiniStack lacks names that the sandbox needs; the message lists them."""


def need(name: str, purpose: str, parameters: str | None = None, *, exact: bool = False) -> Any:
    """Return MiniStack's object `name`, such as ``services.sts._sessions``; record a problem if it is missing.

    purpose: what the sandbox needs it for.
    parameters: of a function, the names of those that the sandbox relies on, in order, separated by spaces.
    exact: whether more parameters are a problem.
    """
    module, _, attribute = name.rpartition(".")
    try:
        value = getattr(importlib.import_module(f"ministack.{module}"), attribute)
    except (ImportError, AttributeError):
        PROBLEMS.append(f"{VERSION} lacks {name} (needed for {purpose})")
        return None
    if parameters is not None:
        present, expected = list(inspect.signature(value).parameters), parameters.split()
        if (present if exact else present[: len(expected)]) != expected:
            signatures = f"{name}({', '.join(present)}), expected ({', '.join(expected)})"
            PROBLEMS.append(f"{VERSION} has {signatures} (needed for {purpose})")
    return value


class Replaceable:
    """A function or setting of MiniStack that the sandbox replaces. Calling it runs the current one."""

    def __init__(self, name: str, purpose: str, parameters: str | None = None) -> None:
        """Look `name` up.

        parameters: of a function, all of them, because the replacement is called with them.
        """
        self._module, _, self._attribute = f"ministack.{name}".rpartition(".")
        self.original = need(name, purpose, parameters, exact=True)

    @property
    def current(self) -> Any:
        return getattr(sys.modules[self._module], self._attribute)

    def replace(self, value: Any) -> None:
        """Replace it, for a function also in the modules that have imported it."""
        modules, current = [sys.modules[self._module]], self.current
        if getattr(self.original, "__module__", "") == self._module:
            loaded = (module for name, module in list(sys.modules.items()) if name.startswith("ministack."))
            modules += [module for module in loaded if vars(module).get(self._attribute) is current]
        for module in modules:
            setattr(module, self._attribute, value)

    def extend(self, function: Callable[..., Any]) -> None:
        """Replace the function by one that calls ``function(current function, *arguments)``."""
        self.replace(partial(function, self.current))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.current(*arguments, **options)


def check() -> None:
    """Raise an error if the installed MiniStack lacks anything.

    Raises:
        MissingNameError: with a sentence for each name.
    """
    if PROBLEMS:
        raise MissingNameError("; ".join(PROBLEMS))
