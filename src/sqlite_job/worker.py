"""Run jobs: Worker wires settings, storage and engine together, and answers signals."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Type, TypeVar, Union, overload

from sqlite_job.core.clock import Clock
from sqlite_job.core.errors import InvalidNameError
from sqlite_job.core.events import (
    Event,
    Events,
    JobStuck,
    SchedulesSynced,
    Subscriber,
    WorkerStarted,
    WorkerStopped,
    check_subscription,
)
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.limits import make_queue_limits
from sqlite_job.core.names import check_name
from sqlite_job.core.retention import Retention
from sqlite_job.core.shares import check_weights
from sqlite_job.engine.engine import Engine
from sqlite_job.engine.executors.coroutines import EventLoopThread
from sqlite_job.engine.failure_reporter import FailureReporter
from sqlite_job.engine.hooks import Hooks
from sqlite_job.engine.housekeeping.canceller import Canceller
from sqlite_job.engine.housekeeping.expirer import Expirer
from sqlite_job.engine.housekeeping.heartbeat import Heartbeat
from sqlite_job.engine.housekeeping.notekeeper import Notekeeper
from sqlite_job.engine.housekeeping.pruner import Pruner
from sqlite_job.engine.housekeeping.rescuer import Rescuer
from sqlite_job.engine.notebook import Notebook
from sqlite_job.engine.options import EngineOptions
from sqlite_job.engine.parenthood import die_with_parent
from sqlite_job.engine.registration import Registration
from sqlite_job.engine.runner import Runner
from sqlite_job.settings import WorkerSettings, check_settings
from sqlite_job.settings_address import refuse_while_loading
from sqlite_job.storage.interface import CommitWatcher, Storage
from sqlite_job.storage.opening import clock_of, open_storage
from sqlite_job.telemetry.log import LogEvents, configure_logging
from sqlite_job.wiring import (
    Executors,
    LimitsOf,
    capturing_if_wanted,
    duration,
    make_failure_reporter,
    make_runner,
    make_scheduler,
    warn_of_pickles,
)

E = TypeVar("E", bound=Event)

# Set by a supervisor in the environment of its workers.
SUPERVISED_VARIABLE = "SQLITE_JOB_SUPERVISED"

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """Runs the jobs of one or more queues; several may run on one database, in any processes of the machine."""

    def __init__(
        self,
        queues: Union[str, Sequence[str], Mapping[str, int]] = "default",
        settings: Optional[WorkerSettings] = None,
    ) -> None:
        """Serve a queue, or several, with the functions of `settings`.

        A list is served in strict order; a mapping, as {"high": 3, "default": 1}, by these weights, so that jobs of
        full queues start in that ratio. Raises TypeError without settings, InvalidNameError for what cannot be a queue,
        InvalidOptionError for what cannot be a weight.
        """
        if settings is None:
            message = "Worker needs settings: subclass WorkerSettings, and write Worker('default', MyWorkerSettings())"
            raise TypeError(message)
        self.settings = check_settings(settings, "Worker")
        self.queues = tuple(
            check_name(queue, "queue name") for queue in ([queues] if isinstance(queues, str) else queues)
        )
        if not self.queues or len(set(self.queues)) < len(self.queues):
            message = f"a worker serves one queue or several different ones, not {list(self.queues)!r}"
            raise InvalidNameError(message)
        self.weights = None
        if isinstance(queues, Mapping):
            check_weights(queues)
            self.weights = dict(queues)
        self._events = Events()
        self._events.subscribe(LogEvents())
        for subscriber in self.settings.subscribers:
            self._events.subscribe(subscriber)
        self._clock: Clock = clock_of(self.settings.location, self.settings.durability)
        self._engine: Optional[Engine] = None
        self._failure_reporter: Optional[FailureReporter] = None
        self._must_stop = False

    @overload
    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]: ...
    @overload
    def subscribe(self, subscriber: Callable[[E], Any], kind: Type[E]) -> Callable[[], None]: ...

    def subscribe(self, subscriber: Callable[..., Any], kind: Optional[Type[Any]] = None) -> Callable[[], None]:
        """Call `subscriber` with each event of this worker, or with those of one class of `sqlite_job.events`.

        It is called where the event happens, mostly in the worker's one loop: what takes long holds up all jobs. What
        it raises is logged. Return a function that ends the subscription. Raises TypeError for what cannot be called,
        or is no class of events.
        """
        check_subscription(subscriber, kind)
        return self._events.subscribe(subscriber, kind)

    def run(self, *, burst: bool = False, max_jobs: Optional[int] = None) -> int:
        """Run jobs until SIGTERM, SIGINT or `stop()`; returns how many ran.

        With `burst` it ends when nothing is ready, with `max_jobs` after so many jobs (and those that run beside them).
        On a stop, unstarted jobs go back to the queue and running ones have `shutdown_timeout` seconds; a second
        signal returns them at once. Logs to the standard error stream unless logging is set up already.
        """
        refuse_while_loading()
        configure_logging()
        with self._answering_signals():
            if SUPERVISED_VARIABLE in os.environ and not die_with_parent(
                int(os.environ[SUPERVISED_VARIABLE]), signal.SIGTERM
            ):
                return 0
            return self._serve(burst=burst, max_jobs=max_jobs)

    def stop(self) -> None:
        """Make `run` end, from any thread or a signal handler; a second call does not wait for running jobs."""
        if self._must_stop and self._failure_reporter is not None:
            self._failure_reporter.hurry()
        self._must_stop = True
        engine = self._engine
        if engine is not None:
            engine.stop()

    @contextlib.contextmanager
    def running_in_background(self) -> Iterator[Worker]:
        """Run in a thread of this process inside the `with` block, and stop cleanly at its end.

        An error of the worker itself is raised at the end of the block.
        """
        refuse_while_loading()
        errors: List[BaseException] = []
        started = threading.Event()

        def serve() -> None:
            try:
                self._serve(burst=False, started=started.set)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
                errors.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=serve, name="sqlite-job-worker", daemon=True)
        thread.start()
        started.wait()
        try:
            if not errors:
                yield self
        finally:
            self.stop()
            thread.join()
            self._reset()
        if errors:
            raise errors[0]

    def _serve(self, *, burst: bool, max_jobs: Optional[int] = None, started: Callable[[], None] = lambda: None) -> int:
        storage = self._open_storage()
        with contextlib.ExitStack() as stack:
            stack.callback(self._reset)
            watcher = self._watch(storage)
            stack.callback(watcher.close)
            loop = _LoopOnDemand()
            stack.callback(loop.close)  # first in, so last out: on_shutdown may need it
            hooks = self._start_hooks(loop, stack)
            notebook = Notebook(watcher.interrupt, self._clock)
            runner = self._make_runner(hooks, notebook)
            self._report_failures(make_failure_reporter(self.settings, hooks, runner, storage), stack)
            registration = Registration(
                storage,
                self.queues,
                lease_seconds=duration(self.settings.lease),
                clock=self._clock,
                events=self._events,
            )
            stack.callback(registration.end)
            engine = self._make_engine(registration, watcher, notebook)
            self._assign_executors(engine, runner, loop, stack)
            self._sync_schedules(storage)
            warn_of_pickles(self.settings)
            functions = tuple(self.settings.registry.names)
            self._events.emit(WorkerStarted(registration.worker_id, self.queues, functions, storage.location))
            stack.enter_context(capturing_if_wanted(self.settings))
            started()
            engine.run(burst=burst, max_jobs=max_jobs)
            self._events.emit(WorkerStopped(registration.worker_id, engine.jobs_run))
            return engine.jobs_run

    def _report_failures(self, reporter: Optional[FailureReporter], stack: contextlib.ExitStack) -> None:
        self._failure_reporter = reporter
        if reporter is not None:
            stack.callback(reporter.close, duration(self.settings.shutdown_timeout))
            stack.callback(self._events.subscribe(reporter))

    def _watch(self, storage: Storage) -> CommitWatcher:
        return storage.watch()

    def _start_hooks(self, loop: Callable[[], EventLoopThread], stack: contextlib.ExitStack) -> Hooks:
        hooks = Hooks(self.settings.hooks, loop)
        hooks.call("on_startup")
        stack.callback(hooks.call, "on_shutdown")
        return hooks

    def _make_runner(self, hooks: Hooks, notebook: Notebook) -> Runner:
        return make_runner(self.settings, hooks, self._clock, notebook)

    def _assign_executors(
        self, engine: Engine, runner: Runner, loop: Callable[[], EventLoopThread], stack: contextlib.ExitStack
    ) -> None:
        executors = Executors(
            self.settings,
            runner,
            engine.outbox.put,
            self._clock,
            stack=stack,
            loop=loop,
            on_stuck=self._on_stuck,
            on_notes=engine.notebook.put,
        )
        engine.assign(executors.main, executors.quarantine)

    def _reset(self) -> None:
        """Make it ready for another run."""
        self._engine = None
        self._failure_reporter = None
        self._must_stop = False

    def _open_storage(self) -> Storage:
        settings = self.settings
        return open_storage(settings.location, settings.durability, allow_network_fs=settings.allow_network_fs)

    def _make_engine(self, registration: Registration, watcher: CommitWatcher, notebook: Notebook) -> Engine:
        settings = self.settings
        storage = self._open_storage()
        options = self._engine_options()
        engine = Engine(
            storage,
            registration,
            options,
            clock=self._clock,
            events=self._events,
            watcher=watcher,
            limits_of=LimitsOf(settings.registry),
            notebook=notebook,
        )
        heartbeat = Heartbeat(registration, duration(settings.lease), engine.forget_held, self._clock)
        scheduler = make_scheduler(settings, storage, self._clock, self._events)
        engine.keep_house(
            [
                heartbeat,
                scheduler,
                Canceller(storage, registration, engine.cancel),
                Expirer(storage, clock=self._clock, events=self._events),
                Rescuer(
                    storage,
                    settings.max_deaths,
                    trusts_leases=heartbeat.trusts_leases,
                    clock=self._clock,
                    events=self._events,
                ),
                # Of other functions others know how long to keep their jobs.
                Pruner(
                    storage,
                    Retention(settings.retention.functions),
                    self.queues,
                    clock=self._clock,
                    events=self._events,
                ),
                Notekeeper(storage, notebook),
            ],
            expect_slot=scheduler.expect,
        )
        self._engine = engine
        if self._must_stop:  # stop() came while we were starting
            engine.stop()
        return engine

    def _sync_schedules(self, storage: Storage) -> None:
        origin = self.settings.origin_of_schedules
        synced = storage.sync_schedules(origin, self.settings.schedules, self._clock.now())
        if any(synced):
            self._events.emit(SchedulesSynced(origin, synced))

    def _engine_options(self) -> EngineOptions:
        settings = self.settings
        return EngineOptions(
            queues=self.queues,
            functions=tuple(settings.registry.names),
            slots=settings.max_jobs,
            poll_delay=duration(settings.poll_delay),
            shutdown_timeout=duration(settings.shutdown_timeout),
            limited=settings.registry.limited,
            batches={name: task.batch.size for name, task in settings.registry.tasks.items() if task.batch is not None},
            queue_limits=make_queue_limits(settings.queue_limits, self.queues),
            # Of one queue there is nothing to share out.
            weights=self.weights if len(self.queues) > 1 else None,
            # Of a job that may not die once, each start counts, whatever ends it.
            starts_on_record=settings.max_deaths == 1,
        )

    def _on_stuck(self, job: ClaimedJob) -> None:
        self._events.emit(JobStuck(job))
        if SUPERVISED_VARIABLE in os.environ:
            self.stop()  # the thread can be got rid of with its process only, and somebody starts a new one

    @contextlib.contextmanager
    def _answering_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            for number in _SIGNALS:
                signal.signal(number, lambda *_: self.stop())
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _LoopOnDemand:
    """Makes the worker's event loop when the first coroutine asks for it."""

    def __init__(self) -> None:
        self._thread: Optional[EventLoopThread] = None

    def __call__(self) -> EventLoopThread:
        if self._thread is None:
            self._thread = EventLoopThread()
        return self._thread

    def close(self) -> None:
        if self._thread is not None:
            self._thread.close()
