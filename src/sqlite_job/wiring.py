"""Join settings and engine: the parts that a worker and its job processes build alike."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import Callable, Mapping, Optional

from sqlite_job.core.clock import Clock
from sqlite_job.core.errors import SettingsError
from sqlite_job.core.escaping import EscapedLines
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.retries import to_seconds
from sqlite_job.core.stopping import Stop
from sqlite_job.core.tasks import RegisteredTask
from sqlite_job.core.transactions import OpenTransaction
from sqlite_job.engine.executors import Executor, Report
from sqlite_job.engine.executors.coroutines import CoroutineExecutor, EventLoopThread
from sqlite_job.engine.executors.frames import Message
from sqlite_job.engine.executors.mixed import MixedExecutor
from sqlite_job.engine.executors.processes import ProcessExecutor, ProcessOptions
from sqlite_job.engine.executors.threads import ThreadExecutor
from sqlite_job.engine.hooks import Hooks
from sqlite_job.engine.runner import JobHooks, Runner, RunnerOptions
from sqlite_job.settings import WorkerSettings
from sqlite_job.settings_address import address_of
from sqlite_job.storage.opening import open_storage

Stuck = Callable[[ClaimedJob], None]


def make_runner(settings: WorkerSettings, hooks: Hooks, clock: Clock) -> Runner:
    """Return what runs the jobs of these settings."""
    return Runner(
        settings.registry.tasks,
        settings.codecs,
        clock,
        state=hooks.state,
        hooks=JobHooks(settings.hooks["on_job_start"], settings.hooks["on_job_end"]),
        options=RunnerOptions(settings.max_payload, settings.previews),
        run_on_loop=hooks.run_on_loop,
        open_transaction=partial(_open_transaction, settings),
    )


class Executors:
    """Makes one executor of each kind that the functions need, and one for jobs whose worker died."""

    def __init__(
        self,
        settings: WorkerSettings,
        runner: Runner,
        report: Report,
        clock: Clock,
        *,
        stack: contextlib.ExitStack,
        loop: Callable[[], EventLoopThread],
        on_stuck: Stuck,
    ) -> None:
        """Close what is made with `stack`. Raises SettingsError where a process cannot import the settings."""
        self._settings = settings
        self._runner = runner
        self._report = report
        self._clock = clock
        self._stack = stack
        self._loop = loop
        self._on_stuck = on_stuck
        kinds = {name: _kind_of(task) for name, task in settings.registry.tasks.items()}
        self.main = self._make(kinds.popitem()[1]) if len(set(kinds.values())) == 1 else self._make_mixed(kinds)
        self.quarantine = self._make_quarantine()

    def _make_mixed(self, kinds: Mapping[str, str]) -> Executor:
        mixed = MixedExecutor(self._report, self._settings.max_jobs)
        made = {kind: self._make(kind, mixed.ended) for kind in set(kinds.values())}
        mixed.assign({name: made[kind] for name, kind in kinds.items()})
        return mixed

    def _make(self, kind: str, report: Optional[Report] = None) -> Executor:
        report = report or self._report
        executor: Executor
        if kind == "process":
            executor = self._make_processes(self._settings.max_jobs, report)
        elif kind == "coroutine":
            executor = CoroutineExecutor(
                self._runner.run_async,
                report,
                self._settings.max_jobs,
                self._loop(),
                clock=self._clock,
                settle_stopped=self._runner.settle_stopped,
                timeout_of=self._runner.timeout_of,
            )
        else:
            executor = ThreadExecutor(
                self._runner.run,
                report,
                self._settings.max_jobs,
                clock=self._clock,
                settle_stopped=self._runner.settle_stopped,
                timeout_of=self._runner.timeout_of,
                on_stuck=self._on_stuck,
            )
        self._stack.callback(executor.close)
        return executor

    def _make_processes(self, slots: int, report: Report) -> ProcessExecutor:
        settings = self._settings
        address = address_of(settings)
        if address is None:
            what = f"{type(settings).__qualname__} is defined inside a function, where no job process can import it"
            raise SettingsError(type(settings).__name__, [f'{what}; define it in a module, or use executor="thread"'])
        options = ProcessOptions(slots, settings.max_deaths, settings.max_jobs_per_child, settings.max_rss_mb)
        level = logging.getLogger("sqlite_job").getEffectiveLevel()
        return ProcessExecutor(
            ("hello", *address, settings.location, level),
            report,
            options,
            clock=self._clock,
            settle_stopped=self._runner.settle_stopped,
            timeout_of=self._runner.timeout_of,
            on_log=_log_of_child,
        )

    def _make_quarantine(self) -> Optional[Executor]:
        """Run a job whose worker died alone in a process: if it was the one that killed it, nobody else dies again."""
        if address_of(self._settings) is None:
            return None
        executor = self._make_processes(1, self._report)
        self._stack.callback(executor.close)
        return executor


def _open_transaction(settings: WorkerSettings, stop: Stop) -> OpenTransaction:
    # Opened by the first job that asks: a job process has no other use for the database.
    storage = open_storage(settings.location, settings.durability, allow_network_fs=settings.allow_network_fs)
    return storage.open_transaction(stop)


def duration(value: object) -> float:
    """Return a checked duration of the settings in seconds."""
    return to_seconds(value)  # type: ignore[arg-type]


def _kind_of(task: RegisteredTask) -> str:
    if task.executor == "process":
        return "process"
    return "coroutine" if task.is_coroutine else "thread"


def _log_of_child(message: Message) -> None:
    name, level, text = message
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        logger.log(level, "%s", EscapedLines(text))
