"""Test code that enqueues, and jobs: run them here and now, look at what was enqueued, move the time.

What an application's own tests use; the pytest fixtures are in `pytest_plugin`. Imported when first asked for: pytest
loads the plugin at each start, whether a test needs it or not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from sqlite_job.testing.assertions import EnqueuedJob, assert_enqueued, enqueued, refute_enqueued
    from sqlite_job.testing.clocks import FakeClock, fake_time
    from sqlite_job.testing.draining import Drained, drain
    from sqlite_job.testing.inlining import inline
    from sqlite_job.testing.workplace import TooManyJobsError

__all__ = [
    "Drained",
    "EnqueuedJob",
    "FakeClock",
    "TooManyJobsError",
    "assert_enqueued",
    "drain",
    "enqueued",
    "fake_time",
    "inline",
    "refute_enqueued",
]

_MODULES = {
    "FakeClock": "clocks",
    "fake_time": "clocks",
    "Drained": "draining",
    "drain": "draining",
    "EnqueuedJob": "assertions",
    "assert_enqueued": "assertions",
    "enqueued": "assertions",
    "refute_enqueued": "assertions",
    "inline": "inlining",
    "TooManyJobsError": "workplace",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
