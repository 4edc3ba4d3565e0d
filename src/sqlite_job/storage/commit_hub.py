"""Share one watcher among all in a process that wait for results: a watch each would run out of them."""

from __future__ import annotations

import threading
from typing import Callable, List, Optional

from sqlite_job.core.clock import elapsed
from sqlite_job.storage.interface import CommitWatcher

# A watcher misses nothing as far as is known; this bounds what that is worth.
_SAFETY_SECONDS = 5.0

# How long the watcher is kept after the last subscriber: making one takes a millisecond, and results are waited for
# one after the other.
_LINGER_SECONDS = 2.0

Watch = Callable[[], CommitWatcher]


class CommitHub:
    """Calls its subscribers after commits, from one thread that ends some time after the last of them left."""

    def __init__(self) -> None:
        """Watch nothing before the first subscriber."""
        self._lock = threading.Lock()
        self._subscribers: List[Callable[[], None]] = []
        self._watcher: Optional[CommitWatcher] = None

    def subscribe(self, callback: Callable[[], None], watch: Watch) -> Callable[[], None]:
        """Call `callback` from now on, by a watcher from `watch` if there is none; the returned function ends it."""
        with self._lock:
            self._subscribers.append(callback)
            if self._watcher is None:
                self._start(watch)
            elif len(self._subscribers) == 1:
                self._watcher.interrupt()  # it lingers, and looks at no commits
        return lambda: self._unsubscribe(callback)

    def stop(self) -> None:
        """End the thread now; subscribers hear nothing more."""
        with self._lock:
            watcher, self._watcher = self._watcher, None
            if watcher is not None:
                watcher.interrupt()

    def abandon(self) -> None:
        """Do as `stop` without the lock: at the end of the interpreter a thread may have it that never runs again."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.interrupt()

    def _start(self, watch: Watch) -> None:
        try:
            self._watcher = watch()
        except BaseException:
            self._subscribers.pop()
            raise
        thread = threading.Thread(target=_serve, args=(self, self._watcher), name="sqlite-job-commits", daemon=True)
        thread.start()

    def _unsubscribe(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._subscribers.remove(callback)

    def has_ended(self, watcher: CommitWatcher, *, is_idle: bool) -> bool:
        """Whether this watcher has served its time; when it was idle for long and nobody came, it has now."""
        with self._lock:
            if self._watcher is watcher and is_idle and not self._subscribers:
                self._watcher = None
            return self._watcher is not watcher

    def forget(self, watcher: CommitWatcher) -> None:
        """Let the next subscriber start anew."""
        with self._lock:
            if self._watcher is watcher:
                self._watcher = None

    def subscribers(self) -> List[Callable[[], None]]:
        """Return those who want to hear of commits."""
        with self._lock:
            return list(self._subscribers)


def _serve(hub: CommitHub, watcher: CommitWatcher) -> None:
    try:
        is_idle = False
        while not hub.has_ended(watcher, is_idle=is_idle):
            callbacks = hub.subscribers()
            if not callbacks:
                began = elapsed()
                watcher.wait(_LINGER_SECONDS, ignore_commits=True)
                is_idle = elapsed() - began >= _LINGER_SECONDS
                # Somebody came: what was committed before is not missed, the caller reads after subscribing.
                continue
            is_idle = False
            watcher.wait(_SAFETY_SECONDS)
            watcher.forget()
            for callback in hub.subscribers():
                callback()
    finally:
        # When it failed: the next subscriber gets a new one, and those there are look for themselves now and then.
        hub.forget(watcher)
        watcher.close()
