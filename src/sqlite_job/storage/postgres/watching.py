"""Wake up when somebody commits what may be of interest."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Callable

from sqlite_job.core.clock import elapsed
from sqlite_job.storage.postgres.listening import Heard

_COMMIT, _INTERRUPT = True, False


class NotifyWatcher:
    """A watcher that is told by the listener of its process."""

    def __init__(self, subscribe: Callable[[Heard], Callable[[], None]], is_ours: Callable[[str], bool]) -> None:
        """Be woken by the channels of which `is_ours` says so."""
        # The one queue whose put may be called in a signal handler.
        self._signs: SimpleQueue[bool] = SimpleQueue()
        self._is_ours = is_ours
        self._unsubscribe = subscribe(self._hear)

    def wait(self, timeout_seconds: float, *, ignore_commits: bool = False) -> bool:
        """Block until a commit (True), `interrupt` or the timeout (both False)."""
        end = elapsed() + timeout_seconds
        while True:
            try:
                sign = self._signs.get(timeout=max(end - elapsed(), 0))
            except Empty:
                return False
            if sign is _INTERRUPT:
                return False
            if not ignore_commits:
                return self._takes_the_rest()

    def forget(self) -> None:
        """Do nothing: who reads next hears of what comes after it, and once too often of what it has read."""

    def interrupt(self) -> None:
        """End the present wait, or the next one."""
        self._signs.put(_INTERRUPT)

    def close(self) -> None:
        """Hear nothing more."""
        self._unsubscribe()

    def _hear(self, channel: str) -> None:
        # One sign that nobody has taken yet says it all.
        if self._is_ours(channel) and self._signs.empty():
            self._signs.put(_COMMIT)

    def _takes_the_rest(self) -> bool:
        """Whether no interrupt is among the signs that wait behind a commit's; they all count as seen."""
        is_commit = True
        while True:
            try:
                is_commit = self._signs.get_nowait() and is_commit
            except Empty:
                return is_commit
