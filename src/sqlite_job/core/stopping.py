"""Stop a running job: why, and what becomes of it."""

from __future__ import annotations

from enum import Enum
from typing import Callable, Optional

# How long a job that was told to stop may clean up, before it is killed or left behind.
GRACE_SECONDS = 2.0


class StopCause(Enum):
    """Why a job is stopped while it runs."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"


class Stop:
    """Shared by the one who runs a job and the one who stops it; the first cause counts."""

    __slots__ = ("_callback", "cause", "reason")

    def __init__(self) -> None:
        """Start without a cause: the job may run."""
        self.cause: Optional[StopCause] = None
        self.reason: Optional[str] = None
        self._callback: Optional[Callable[[], None]] = None

    def set(self, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Note why; False when there was a cause already."""
        if self.cause is not None:
            return False
        self.reason = reason
        self.cause = cause
        if self._callback is not None:
            self._callback()
        return True

    def call_when_set(self, callback: Callable[[], None]) -> None:
        """Call `callback` as soon as there is a cause, at once if there is one; perhaps twice, from any thread.

        It may be called in a signal handler, so it takes no lock.
        """
        # First the callback, then the look: a cause in between calls once too often, never once too little.
        self._callback = callback
        if self.cause is not None:
            callback()


class StopRequested(BaseException):
    """Raised inside a job that must stop. Not an Exception, so that `except Exception` does not swallow it."""
