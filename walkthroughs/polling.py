"""Poll a function in the background."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def poll_in_background(function: Callable[[], T], interval: float) -> Iterator[list[T]]:
    """Call `function`, which must not raise, every `interval` seconds; yield the growing list of its results."""
    results: list[T] = []
    stop = Event()

    def poll() -> None:
        while not stop.wait(interval):
            results.append(function())

    thread = Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield results
    finally:
        stop.set()
        thread.join()
