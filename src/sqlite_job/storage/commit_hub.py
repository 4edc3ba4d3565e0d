"""Share one watcher among all in a process that wait for results: a watch each would run out of them."""

from __future__ import annotations

import threading
from typing import Callable, List, Optional

from sqlite_job.storage.interface import CommitWatcher

# A watcher misses nothing as far as is known; this bounds what that is worth.
_SAFETY_SECONDS = 5.0


class CommitHub:
    """Calls its subscribers after commits, from one thread that lives as long as there are any."""

    def __init__(self, watch: Callable[[], CommitWatcher]) -> None:
        """Take what makes a watcher; nothing is watched before the first subscriber."""
        self._watch = watch
        self._lock = threading.Lock()
        self._subscribers: List[Callable[[], None]] = []
        self._watcher: Optional[CommitWatcher] = None

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from now on; the returned function ends it."""
        with self._lock:
            if self._watcher is None:
                self._watcher = self._watch()
                threading.Thread(
                    target=self._serve, args=(self._watcher,), name="sqlite-job-commits", daemon=True
                ).start()
            self._subscribers.append(callback)
        return lambda: self._unsubscribe(callback)

    def _unsubscribe(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._subscribers.remove(callback)
            if not self._subscribers and self._watcher is not None:
                self._watcher.interrupt()
                self._watcher = None

    def _serve(self, watcher: CommitWatcher) -> None:
        try:
            while self._watcher is watcher:
                watcher.wait(_SAFETY_SECONDS)
                with self._lock:
                    callbacks = list(self._subscribers) if self._watcher is watcher else []
                for callback in callbacks:
                    callback()
        finally:
            watcher.close()
