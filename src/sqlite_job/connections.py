"""Enqueue jobs and look at them: SQLiteJob, the door of everybody but the workers."""

from __future__ import annotations

import sys
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import (
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
    PayloadTooLargeError,
)
from sqlite_job.core.ids import IdMaker
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.names import check_name
from sqlite_job.core.options import JobOptions, check_options
from sqlite_job.core.parameters import NO_PARAMETERS, Parameters, parameters_of
from sqlite_job.core.previews import Previews
from sqlite_job.core.retries import Seconds
from sqlite_job.core.serializers import AnySerializer, make_codecs
from sqlite_job.core.tasks import Registry, as_task
from sqlite_job.job import Job
from sqlite_job.operations import Operations
from sqlite_job.settings import WorkerSettings, check_settings, default_database
from sqlite_job.storage.opening import Database, check_session, locate
from sqlite_job.storage.shared_transactions import AnySession

if sys.version_info >= (3, 10):
    from typing import ParamSpec
else:
    from typing_extensions import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")

_Resolved = Tuple[str, str, int, Parameters]

_clock = SystemClock()
_make_id = IdMaker(_clock.now)


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
    ) -> None:
        """Enqueue to `queue` by default, in the database of `settings`, or in `database`, or in the default one.

        With settings, function names are checked at enqueue; serializer, durability and limits come from there.
        Nothing is opened before the first use. Raises InvalidNameError, InvalidOptionError, DatabaseUnavailableError.
        """
        self.queue = check_name(queue, "queue name")
        self._options = JobOptions()
        self._registry: Optional[Registry] = None
        self._last_resolved: Tuple[Any, _Resolved] = (object(), ("", "", 0, NO_PARAMETERS))
        self._max_payload = WorkerSettings.max_payload
        self._previews: Optional[Previews] = Previews()
        if settings is not None:
            self._take(check_settings(settings, "SQLiteJob"))
            if database is not None or serializer != "pickle" or durability != "full":
                message = "give settings or database, not both; serializer and durability come from the settings, too"
                raise InvalidOptionError(message)
            return
        if durability not in ("full", "normal"):
            message = f'durability is "full" or "normal", not {durability!r}'
            raise InvalidOptionError(message)
        self._durability = durability
        self._allow_network_fs = allow_network_fs
        self._database = locate(default_database() if database is None else database)
        self._codecs = make_codecs(serializer)

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
        session: Optional[AnySession] = None,
    ) -> SQLiteJob:
        """Return a copy whose jobs have these options too: all keyword arguments of `enqueue` belong to the function.

        `priority`: higher is first. `delay`: seconds or timedelta. `run_at`: an aware datetime. `job_id`: an id of
        your own; enqueueing it again returns the existing job. `meta`: a dict of JSON values.
        `session`: an SQLAlchemy Session or Connection, or a sqlite3.Connection, on the same database file: the jobs
        exist if and only if its transaction commits.
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

        Raises UnknownFunctionError (with settings), EncodeError, PayloadTooLargeError, DatabaseError; then nothing
        was written.
        """
        new = self._new_job(function, args, kwargs)
        self._store((new,))
        return Job(new.id, self._outside or self)

    def enqueue_many(self, calls: Iterable[Call[T]]) -> List[Job[T]]:
        """Store many calls, made by `call`, in one transaction: all or none; returns the jobs in order."""
        if self._options.job_id is not None:
            message = "job_id names one job; give enqueue_many none"
            raise InvalidOptionError(message)
        new_jobs = [self._new_job(one.function, one.args, one.kwargs) for one in map(check_call, calls)]
        if new_jobs:
            self._store(new_jobs)
        return [Job(new.id, self._outside or self) for new in new_jobs]

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

        new = self._new_job(function, args, kwargs)
        session = self._options.session
        if session is None:
            # With the context of the caller: a job that has the write lock itself is told so.
            store = partial(copy_context().run, self._storage.enqueue, (new,))
            await asyncio.get_running_loop().run_in_executor(None, store)
        else:
            await self._storage.aenqueue_within(session, (new,))
        return Job(new.id, self._outside or self)

    def _store(self, new_jobs: Sequence[NewJob]) -> None:
        session = self._options.session
        if session is None:
            self._storage.enqueue(new_jobs)
        else:
            self._storage.enqueue_within(session, new_jobs)

    def _take(self, settings: WorkerSettings) -> None:
        self._registry = settings.registry
        self._database = settings.location
        self._durability = settings.durability
        self._allow_network_fs = settings.allow_network_fs
        self._codecs = settings.codecs
        self._max_payload = settings.max_payload
        self._previews = settings.previews

    def _new_job(
        self, function: Union[str, Callable[..., Any]], args: Tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> NewJob:
        # Most callers enqueue one function again and again: its name is looked up and checked once.
        last, resolved = self._last_resolved
        if last is not function:
            resolved = self._resolve(function)
            self._last_resolved = (function, resolved)
        name, queue, priority, parameters = resolved
        options = self._options
        now = _clock.now()
        job_id = options.job_id or _make_id.made_at(now)
        encoded = self._codecs.encode((args, kwargs), name, job_id)
        if len(encoded) > self._max_payload:
            raise PayloadTooLargeError(f"the arguments of {name}", len(encoded), self._max_payload)
        return NewJob(
            job_id,
            options.queue or queue,
            name,
            priority if options.priority is None else options.priority,
            now,
            options.run_time(now),
            options.max_tries,
            options.timeout,
            self._codecs.encoder.name,
            encoded,
            None if self._previews is None else self._previews.of_call(name, parameters, args, kwargs),
            options.tags,
            options.meta,
            options.job_id is not None,
        )

    def _resolve(self, function: Union[str, Callable[..., Any]]) -> _Resolved:
        """Return a function's name, its queue, its priority and its parameters."""
        if self._registry is not None:
            registered = self._registry.find(function)
            return registered.name, registered.queue or self.queue, registered.priority, registered.parameters
        if isinstance(function, str):
            return check_name(function, "function name"), self.queue, 0, NO_PARAMETERS
        if not callable(function):
            message = f"enqueue takes a function or its name, not {function!r}"
            raise InvalidNameError(message)
        entry = as_task(function)
        if entry.name is None:
            message = f"{function!r} has no name to enqueue it by; name it: task(function, name='...')"
            raise InvalidNameError(message)
        name = check_name(entry.name, "function name")
        parameters = parameters_of(entry.function)
        return name, entry.options.queue or self.queue, entry.options.priority or 0, parameters
