"""Enqueue jobs and look at them: SQLiteJob, the door of everybody but the workers."""

from __future__ import annotations

import sys
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Coroutine,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
    overload,
)

from sqlite_job.core.calls import Call, check_call
from sqlite_job.core.clock import SystemClock
from sqlite_job.core.errors import (
    InvalidNameError,
    InvalidOptionError,
)
from sqlite_job.core.ids import IdMaker
from sqlite_job.core.job_maker import JobMaker, Resolved
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.middleware import (
    AnyMiddleware,
    EnqueueContext,
    Middleware,
    prepare,
    takers_of_enqueue,
    wrong_middleware,
)
from sqlite_job.core.names import check_name
from sqlite_job.core.options import NO_OPTIONS, JobOptions, check_options
from sqlite_job.core.parameters import parameters_of
from sqlite_job.core.previews import Previews
from sqlite_job.core.retention import Retention, keep_of
from sqlite_job.core.retries import Seconds
from sqlite_job.core.serializers import AnySerializer, make_codecs
from sqlite_job.core.tasks import Registry, as_task
from sqlite_job.job import Job
from sqlite_job.operations import Operations
from sqlite_job.settings import WorkerSettings, check_settings, default_database
from sqlite_job.storage.opening import Database, check_session, clock_of, locate
from sqlite_job.storage.shared_transactions import AnySession

if TYPE_CHECKING:
    from sqlite_job.schedules import Schedules

if sys.version_info >= (3, 10):
    from typing import ParamSpec
else:
    from typing_extensions import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")

_make_id = IdMaker(SystemClock().now)

# Called after each commit of new jobs with the database and the jobs, while a test runs them inline
# (`sqlite_job.testing`).
after_enqueue: Optional[Callable[[str, Sequence[NewJob]], None]] = None


class SQLiteJob(Operations):
    """A queue in a database: enqueue jobs, wait for them, look at them. Safe to share between threads."""

    # Of a copy with a session, the door that its jobs' handles keep: they may outlive the session.
    _outside: Optional[SQLiteJob] = None

    def __init__(
        self,
        queue: str = "default",
        settings: Optional[WorkerSettings] = None,
        *,
        database: Optional[Database] = None,
        serializer: Union[str, AnySerializer] = "pickle",
        durability: str = "full",
        allow_network_fs: bool = False,
        middleware: Sequence[AnyMiddleware] = (),
    ) -> None:
        """Enqueue to `queue` by default, in the database of `settings`, or in `database`, or in the default one.

        With settings, function names are checked at enqueue; serializer, durability, limits and middleware come from
        there.
        Nothing is opened before the first use. Raises InvalidNameError, InvalidOptionError, DatabaseUnavailableError.
        """
        self.queue = check_name(queue, "queue name")
        self._options = NO_OPTIONS
        self._registry: Optional[Registry] = None
        self._middleware: Tuple[Middleware, ...] = ()
        self._timezone: Any = WorkerSettings.timezone
        self._retention = Retention({}, keep_of(WorkerSettings.keep_result, WorkerSettings.keep_failed))
        self._last_resolved: Tuple[Any, Resolved] = (object(), Resolved("", "", 0))
        if settings is not None:
            self._take(check_settings(settings, "SQLiteJob"))
            if database is not None or serializer != "pickle" or durability != "full" or middleware:
                message = "give settings or database, not both; what else a queue has comes from the settings, too"
                raise InvalidOptionError(message)
            return
        if durability not in ("full", "normal"):
            message = f'durability is "full" or "normal", not {durability!r}'
            raise InvalidOptionError(message)
        self._durability = durability
        self._allow_network_fs = allow_network_fs
        self._database = locate(default_database() if database is None else database)
        self._clock = clock_of(self._database, durability)
        self._codecs = make_codecs(serializer)
        problems = list(wrong_middleware(middleware))
        if problems:
            raise InvalidOptionError("; ".join(problems))
        self._middleware = takers_of_enqueue(middleware)
        self._maker = JobMaker(self._codecs, WorkerSettings.max_payload, Previews())

    def with_options(
        self,
        *,
        job_id: Optional[str] = None,
        queue: Optional[str] = None,
        priority: Optional[int] = None,
        delay: Optional[Seconds] = None,
        run_at: Optional[datetime] = None,
        max_tries: Optional[int] = None,
        timeout: Optional[Seconds] = None,
        tags: Iterable[str] = (),
        meta: Optional[Mapping[str, Any]] = None,
        expires: Union[Seconds, datetime, None] = None,
        unique: Union[bool, str, None] = None,
        unique_for: Optional[Seconds] = None,
        on_conflict: Optional[str] = None,
        group: Optional[str] = None,
        session: Optional[AnySession] = None,
    ) -> SQLiteJob:
        """Return a copy whose jobs have these options too: all keyword arguments of `enqueue` belong to the function.

        `priority`: higher is first. `delay`: seconds or timedelta. `run_at`: an aware datetime. `job_id`: an id of
        your own; enqueueing it again returns the existing job. `meta`: a dict of JSON values. `expires`: seconds after
        the time it may start, or an aware datetime, from which on it is not started. `unique`: a key, or True for the
        function and its arguments; while a job that has it is not finished, and for `unique_for` seconds,
        `on_conflict` says what enqueue does: return that job ("existing"), give it the new arguments and time
        ("replace"), or raise ("raise"). `group`: of its jobs only so many run at once as the task's `concurrency` says;
        without one they are a sequence. `session`: an SQLAlchemy Session or Connection, or a sqlite3.Connection, on the
        same database file: the jobs exist if and only if its transaction commits.
        Raises InvalidOptionError or InvalidNameError.
        """
        copy = object.__new__(SQLiteJob)
        copy.__dict__.update(self.__dict__)
        changes = check_options(
            job_id=job_id,
            queue=queue,
            priority=priority,
            delay=delay,
            run_at=run_at,
            max_tries=max_tries,
            timeout=timeout,
            tags=tags,
            meta=meta,
            expires=expires,
            unique=unique,
            unique_for=unique_for,
            on_conflict=on_conflict,
            group=group,
            session=None if session is None else check_session(session),
        )
        copy._options = self._options.with_changes(changes)
        if session is not None:
            copy._outside = self._outside or self
        return copy

    @overload
    def enqueue(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]: ...
    @overload
    def enqueue(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Job[T]: ...
    @overload
    def enqueue(self, function: str, /, *args: Any, **kwargs: Any) -> Job[Any]: ...

    def enqueue(self, function: Union[str, Callable[..., Any]], /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Store one call of a function, by name or by function, and return the job once it is on disk.

        Raises UnknownFunctionError (with settings), EncodeError, PayloadTooLargeError, DuplicateJobError,
        DatabaseError; then nothing was written.
        """
        new = self._new_job(function, args, kwargs, self._clock.now())
        existing = self._store((new,))
        return Job(existing.get(new.id, new.id) if existing else new.id, self._outside or self)

    def enqueue_many(self, calls: Iterable[Call[T]]) -> List[Job[T]]:
        """Store many calls, made by `call`, in one transaction: all or none; returns the jobs in order."""
        if self._options.job_id is not None:
            message = "job_id names one job; give enqueue_many none"
            raise InvalidOptionError(message)
        now = self._clock.now()
        checked = list(map(check_call, calls))
        new_jobs = [
            self._new_job(one.function, one.args, one.kwargs, now, job_id)
            for one, job_id in zip(checked, _make_id.many_made_at(now, len(checked)))
        ]
        existing = self._store(new_jobs) if new_jobs else {}
        return [Job(existing.get(new.id, new.id), self._outside or self) for new in new_jobs]

    @overload
    async def aenqueue(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]: ...
    @overload
    async def aenqueue(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Job[T]: ...
    @overload
    async def aenqueue(self, function: str, /, *args: Any, **kwargs: Any) -> Job[Any]: ...

    async def aenqueue(self, function: Union[str, Callable[..., Any]], /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Do as `enqueue`, without blocking the event loop while the disk works."""
        import asyncio  # half of this package's import time, for those who do not use it

        new = self._new_job(function, args, kwargs, self._clock.now())
        session = self._options.session
        if session is None:
            # In a copy of this context: a job that is run inline knows by it what runs around it, and one that has the
            # write lock itself is told so.
            store = partial(copy_context().run, self._store, (new,))
            existing = await asyncio.get_running_loop().run_in_executor(None, store)
        else:
            existing = await self._storage.aenqueue_within(session, (new,))
        return Job(existing.get(new.id, new.id), self._outside or self)

    @property
    def schedules(self) -> Schedules:
        """The schedules of this database: create, pause, run, list them."""
        from sqlite_job.schedules import Schedules  # for those who have some

        return Schedules(
            self._storage,
            resolve=self._resolve,
            registry=self._registry,
            codecs=self._codecs,
            maker=self._maker,
            timezone=self._timezone,
            job=self.job,
            clock=self._clock,
        )

    def _store(self, new_jobs: Sequence[NewJob]) -> Mapping[str, str]:
        session = self._options.session
        if session is not None:
            return self._storage.enqueue_within(session, new_jobs)
        existing = self._storage.enqueue(new_jobs)
        if after_enqueue is not None:
            after_enqueue(self._database, new_jobs)
        return existing

    def _take(self, settings: WorkerSettings) -> None:
        self._registry = settings.registry
        self._database = settings.location
        self._durability = settings.durability
        self._clock = clock_of(settings.location, settings.durability)
        self._allow_network_fs = settings.allow_network_fs
        self._codecs = settings.codecs
        self._middleware = takers_of_enqueue(settings.middleware)
        self._timezone = settings.timezone
        self._retention = settings.retention
        self._maker = JobMaker(settings.codecs, settings.max_payload, settings.previews)

    def _new_job(
        self,
        function: Union[str, Callable[..., Any]],
        args: Tuple[Any, ...],
        kwargs: Mapping[str, Any],
        now: int,
        job_id: Optional[str] = None,
    ) -> NewJob:
        # Most callers enqueue one function again and again: its name is looked up and checked once.
        last, resolved = self._last_resolved
        if last is not function:
            resolved = self._resolve(function)
            self._last_resolved = (function, resolved)
        options = self._options
        job_id = job_id or options.job_id or _make_id.made_at(now)
        if self._middleware:
            options = self._ask_middleware(job_id, resolved, args, kwargs)
        return self._maker.make(resolved, args, kwargs, options, job_id, now)

    def _ask_middleware(
        self, job_id: str, resolved: Resolved, args: Tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> JobOptions:
        """Return the options of this one job: those given, as the middleware leaves them."""
        options = self._options
        job = EnqueueContext(
            job_id,
            resolved.name,
            args,
            kwargs,
            queue=options.queue or resolved.queue,
            priority=resolved.priority if options.priority is None else options.priority,
            tags=options.tags,
            meta=options.meta,
        )
        return prepare(self._middleware, job, options)

    def _resolve(self, function: Union[str, Callable[..., Any]]) -> Resolved:
        """Return a function's name, its queue, its priority, its parameters and its flow."""
        if self._registry is not None:
            registered = self._registry.find(function)
            queue = registered.queue or self.queue
            return Resolved(registered.name, queue, registered.priority, registered.parameters, registered.flow)
        if isinstance(function, str):
            return Resolved(check_name(function, "function name"), self.queue, 0)
        if not callable(function):
            message = f"enqueue takes a function or its name, not {function!r}"
            raise InvalidNameError(message)
        entry = as_task(function)
        if entry.name is None:
            message = f"{function!r} has no name to enqueue it by; name it: task(function, name='...')"
            raise InvalidNameError(message)
        name = check_name(entry.name, "function name")
        parameters = parameters_of(entry.function)
        chosen = entry.options
        return Resolved(name, chosen.queue or self.queue, chosen.priority or 0, parameters, chosen.flow)
