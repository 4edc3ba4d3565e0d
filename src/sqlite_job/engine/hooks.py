"""Call the hooks around a worker's life, and keep the state they prepare."""

from __future__ import annotations

import threading
from typing import Any, Awaitable, Callable, Mapping, Optional, Protocol

from sqlite_job.core.context import State
from sqlite_job.core.tasks import runs_as_coroutine


class Loop(Protocol):
    """Somewhere to await things from plain code."""

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await it, and return its value."""
        ...


class Hooks:
    """The hooks of the settings, the state they share with jobs, and an event loop made when the first one asks."""

    def __init__(self, hooks: Mapping[str, Optional[Callable[..., Any]]], make_loop: Callable[[], Loop]) -> None:
        """Take the hooks by name; `make_loop` is called at most once."""
        self.state = State()
        self._hooks = hooks
        self._make_loop = make_loop
        self._loop: Optional[Loop] = None
        self._lock = threading.Lock()

    def call(self, name: str) -> None:
        """Call a hook of the worker with its state, if there is one."""
        hook = self._hooks[name]
        if hook is None:
            return
        if runs_as_coroutine(hook):
            self.run_on_loop(hook(self.state))
        else:
            hook(self.state)

    def run_on_loop(self, awaitable: Awaitable[Any]) -> Any:
        """Await something from a plain thread."""
        with self._lock:
            if self._loop is None:
                self._loop = self._make_loop()
        return self._loop.run(awaitable)
