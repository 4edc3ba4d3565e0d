"""Join settings and engine: the parts that a worker and its job processes build alike."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import Any, Callable, ContextManager, Dict, Mapping, Optional

from sqlite_job.core.batches import Batch, as_single
from sqlite_job.core.clock import Clock
from sqlite_job.core.conditions import limits_of
from sqlite_job.core.errors import SettingsError
from sqlite_job.core.escaping import EscapedLines
from sqlite_job.core.events import Events
from sqlite_job.core.job_maker import JobMaker
from sqlite_job.core.jobs import ClaimedJob, Conditions
from sqlite_job.core.middleware import wrap
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.retries import to_seconds
from sqlite_job.core.stopping import Stop
from sqlite_job.core.tasks import RegisteredTask, Registry
from sqlite_job.core.transactions import OpenTransaction
from sqlite_job.engine.capture import capturing
from sqlite_job.engine.executors import Executor, Report
from sqlite_job.engine.executors.batches import BatchesApart, BatchExecutor
from sqlite_job.engine.executors.coroutines import CoroutineExecutor, EventLoopThread
from sqlite_job.engine.executors.frames import Message
from sqlite_job.engine.executors.mixed import MixedExecutor
from sqlite_job.engine.executors.processes import ProcessExecutor, ProcessOptions
from sqlite_job.engine.executors.threads import ThreadExecutor
from sqlite_job.engine.failure_reporter import FailureHooks, FailureReporter
from sqlite_job.engine.hooks import Hooks
from sqlite_job.engine.housekeeping.scheduler import Scheduler
from sqlite_job.engine.notebook import Notebook
from sqlite_job.engine.runner import JobHooks, Runner, RunnerOptions
from sqlite_job.settings import WorkerSettings
from sqlite_job.settings_address import address_of
from sqlite_job.storage.interface import Storage
from sqlite_job.storage.opening import is_server, open_storage

_logger = logging.getLogger("sqlite_job")

Stuck = Callable[[ClaimedJob], None]


def make_runner(
    settings: WorkerSettings,
    hooks: Hooks,
    clock: Clock,
    notebook: Notebook,
    kind: Callable[..., Runner] = Runner,
) -> Runner:
    """Return what runs the jobs of these settings."""
    return kind(
        _with_middleware(settings),
        settings.codecs,
        clock,
        state=hooks.state,
        hooks=JobHooks(settings.hooks["on_job_start"], settings.hooks["on_job_end"]),
        options=RunnerOptions(settings.max_payload, settings.previews),
        run_on_loop=hooks.run_on_loop,
        notebook=notebook,
        open_transaction=partial(_open_transaction, settings),
    )


def warn_of_pickles(settings: WorkerSettings) -> None:
    """Say what decoding pickles means where others than this machine's users may write: once, at a worker's start."""
    if is_server(settings.location) and settings.codecs.accepts_pickles:
        _logger.warning(
            "This worker decodes pickles from a database on a server: whoever may write there can run code here. "
            'Sign them (serializer="signed-pickle") or use JSON (serializer="json", accept=("json",))'
        )


class LimitsOf:
    """Tells the limits of jobs whose producer did not know them, from their decoded arguments."""

    def __init__(self, registry: Registry) -> None:
        """Take the functions, and what decodes their arguments."""
        self._registry = registry

    def __call__(self, job: ClaimedJob) -> Optional[Conditions]:
        """Return the limits; None when there are none, or the arguments are such that the run will fail."""
        flow = self._registry.tasks[job.function].flow
        try:
            args, kwargs = self._registry.codecs.decode(job.codec, job.args, job.function, job.id)
            return None if flow is None else limits_of(flow, job.function, args, kwargs)
        except (TypeError, ValueError) as error:
            _logger.warning("Run %s %s without its limits: %s", job.function, job.id, EscapedLines(str(error)))
            return None


def make_failure_reporter(
    settings: WorkerSettings, hooks: Hooks, runner: Runner, storage: Storage
) -> Optional[FailureReporter]:
    """Return what calls `on_failure`, or None where nobody wants to know."""
    chosen = FailureHooks(
        {name: task.on_failure for name, task in settings.registry.tasks.items()}, settings.hooks["on_failure"]
    )
    if chosen.default is None and not any(chosen.by_function.values()):
        return None
    return FailureReporter(chosen, context_of=runner.context_of, storage=storage, run_on_loop=hooks.run_on_loop)


def _with_middleware(settings: WorkerSettings) -> Dict[str, RegisteredTask]:
    # Once, and not at each job: where nothing wraps a function, it is called as it is.
    return {
        name: replace(task, function=wrap(_called(task), settings.middleware, is_coroutine=task.is_coroutine))
        for name, task in settings.registry.tasks.items()
    }


def _called(task: RegisteredTask) -> Callable[..., Any]:
    """Return what is called for one job; a batch function then gets this job alone."""
    return task.function if task.batch is None else as_single(task.function, is_coroutine=task.is_coroutine)


def make_scheduler(settings: WorkerSettings, storage: Storage, clock: Clock, events: Events) -> Scheduler:
    """Return what makes the jobs of schedules; their previews are those of the schedules."""
    maker = JobMaker(settings.codecs, settings.max_payload, None)
    functions = tuple(settings.registry.names)
    flows = {name: task.flow for name, task in settings.registry.tasks.items()}
    return Scheduler(storage, functions, settings.codecs, maker, clock=clock, events=events, flows=flows)


def capturing_if_wanted(settings: WorkerSettings) -> ContextManager[None]:
    """Return what keeps log records while it is entered, if any function of these settings wants them kept."""
    wants = any(task.capture_logs for task in settings.registry.tasks.values())
    return capturing() if wants else contextlib.nullcontext()


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
        on_notes: Callable[[JobNotes], None],
    ) -> None:
        """Close what is made with `stack`. Raises SettingsError where a process cannot import the settings."""
        self._settings = settings
        self._runner = runner
        self._report = report
        self._clock = clock
        self._stack = stack
        self._loop = loop
        self._on_stuck = on_stuck
        self._on_notes = on_notes
        tasks = settings.registry.tasks
        kinds = {name: _kind_of(task) for name, task in tasks.items() if task.batch is None}
        batches = {name: self._make_batches(name, task.batch) for name, task in tasks.items() if task.batch is not None}
        main = self._make_for(kinds) if kinds else None
        self.main: Executor = BatchesApart(batches, main) if batches or main is None else main
        self.quarantine = self._make_quarantine()

    def _make_for(self, kinds: Mapping[str, str]) -> Executor:
        return self._make(next(iter(kinds.values()))) if len(set(kinds.values())) == 1 else self._make_mixed(kinds)

    def _make_batches(self, name: str, batch: Batch) -> Executor:
        function = self._settings.registry.tasks[name].function
        executor = BatchExecutor(partial(self._runner.run_batch, function), self._report, batch, name)
        self._stack.callback(executor.close)
        return executor

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
            on_notes=self._on_notes,
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
