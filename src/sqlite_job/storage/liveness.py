"""Tell which workers live: each holds a byte of one file locked, and the kernel lets go of it however the holder ends.

POSIX record locks, on purpose: a forked child does not inherit them, so that a daemon a job left behind does not keep
its dead worker alive. Their price is that closing any descriptor of the file drops all locks of the process: so a
process has one descriptor for each file, and never closes it.
"""

from __future__ import annotations

import os
import threading
from typing import Dict, Set, Tuple

from sqlite_job.storage.files import open_lock_file

try:
    import fcntl
except ImportError:  # Windows: the lease alone tells the dead from the living, 30 seconds late
    fcntl = None  # type: ignore[assignment]

_lock = threading.Lock()
_descriptors: Dict[Tuple[str, int], int] = {}
_held_here: Set[Tuple[int, int]] = set()


class Liveness:
    """The lock file of one database."""

    def __init__(self, path: str) -> None:
        """Use the file at `path`, made when first needed."""
        self._path = path

    def hold(self, worker_id: int) -> bool:
        """Show that a worker of this process lives, until `release` or the end of the process.

        False when somebody has this lock already.
        """
        if fcntl is None:
            return True
        with _lock:
            descriptor = self._descriptor()
            if (descriptor, worker_id) in _held_here:
                return False
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, worker_id)
            except OSError:
                return False
            _held_here.add((descriptor, worker_id))
            return True

    def release(self, worker_id: int) -> None:
        """Show that a worker of this process has ended."""
        if fcntl is None:
            return
        with _lock:
            descriptor = self._descriptor()
            _held_here.discard((descriptor, worker_id))
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, worker_id)

    def is_free(self, worker_id: int) -> bool:
        """Whether nobody holds this worker's lock: it is dead, whatever its lease says."""
        if fcntl is None:
            return False
        with _lock:
            descriptor = self._descriptor()
            # A process does not conflict with its own locks, so it must remember them.
            if (descriptor, worker_id) in _held_here:
                return False
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, worker_id)
            except OSError:
                return False
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, worker_id)
            return True

    def _descriptor(self) -> int:
        key = (self._path, os.getpid())
        descriptor = _descriptors.get(key)
        if descriptor is None:
            descriptor = _descriptors[key] = open_lock_file(self._path)
        return descriptor


def is_gone(path: str, worker_id: int) -> bool:
    """Whether a worker of the database at `path` has surely ended; makes no lock file where there is none."""
    name = f"{path}-workers"
    return os.path.exists(name) and Liveness(name).is_free(worker_id)


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    _held_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
