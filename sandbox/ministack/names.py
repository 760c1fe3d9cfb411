"""Looks up MiniStack's names. `check` reports every name that the installed version lacks or has changed."""

import importlib
import inspect
from collections.abc import Callable
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

    def __init__(self, name: str, purpose: str, parameters: str | None = None, also_in: tuple[str, ...] = ()) -> None:
        """Look `name` up. The modules `also_in` have imported it, so they are changed too.

        parameters: of a function, all of them, because the replacement is called with them.
        """
        module, _, self._attribute = name.rpartition(".")
        self.original = need(name, purpose, parameters, exact=True)
        for copy in also_in:
            need(f"{copy}.{self._attribute}", purpose)
        self._modules = (module, *also_in)

    @property
    def current(self) -> Any:
        return getattr(importlib.import_module(f"ministack.{self._modules[0]}"), self._attribute)

    def replace(self, value: Any) -> None:
        for module in self._modules:
            setattr(importlib.import_module(f"ministack.{module}"), self._attribute, value)

    def wrap(self, wrapper: Callable[[Any], Any]) -> None:
        """Replace the function by ``wrapper(function)``."""
        self.replace(wrapper(self.current))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.current(*arguments, **options)


def check() -> None:
    """Raise an error if the installed MiniStack lacks anything.

    Raises:
        MissingNameError: with a sentence for each name.
    """
    if PROBLEMS:
        raise MissingNameError("; ".join(PROBLEMS))
