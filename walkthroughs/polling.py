"""Something that is done again and again, while a walkthrough does something else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def poll_in_background(act: Callable[[], T], pause: float) -> Iterator[list[T]]:
    """Call `act`, which does not raise, with `pause` seconds between; gives the list that its results go to."""
    results: list[T] = []
    stop = Event()

    def go_on() -> None:
        while not stop.wait(pause):
            results.append(act())

    thread = Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield results
    finally:
        stop.set()
        thread.join()
