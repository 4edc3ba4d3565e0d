"""Say what a worker runs and how: WorkerSettings, with every knob checked at construction."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from sqlite_job.core.batches import DEFAULT_WITHIN, Batch
from sqlite_job.core.errors import EncodeError, InvalidNameError, SettingsError
from sqlite_job.core.events import Subscriber
from sqlite_job.core.job_maker import JobMaker, Resolved
from sqlite_job.core.knobs import wrong_values
from sqlite_job.core.limits import LimitsOfQueue
from sqlite_job.core.middleware import AnyMiddleware, wrong_middleware
from sqlite_job.core.names import check_name
from sqlite_job.core.parameters import parameters_of
from sqlite_job.core.previews import Previews
from sqlite_job.core.redaction import Redact, hide_secrets
from sqlite_job.core.retention import KEEP_FAILED, KEEP_RESULT, Retention, keep_of
from sqlite_job.core.retries import Backoff, RetryPolicy, Seconds, to_seconds
from sqlite_job.core.schedules import Schedule, ScheduleEntry
from sqlite_job.core.serializers import AnySerializer, make_codecs
from sqlite_job.core.tasks import (
    RegisteredTask,
    Registry,
    Task,
    as_exceptions,
    as_task,
    runs_as_coroutine,
    wrong_on_failure,
)
from sqlite_job.storage.opening import Database, locate

if TYPE_CHECKING:
    from sqlite_job.core.schedule_checks import CheckedEntry

DEFAULT_DATABASE = "sqlite_job.db"
DATABASE_VARIABLE = "SQLITE_JOB_DATABASE"

Hook = Optional[Callable[..., Any]]

_HOOKS = ("on_startup", "on_shutdown", "on_job_start", "on_job_end", "on_failure")


def default_database() -> str:
    """Return the database that is used when none is given: SQLITE_JOB_DATABASE, or sqlite_job.db in this folder."""
    return os.environ.get(DATABASE_VARIABLE) or DEFAULT_DATABASE


class WorkerSettings:
    """The functions of a worker, and its knobs as class attributes; subclass it.

    Raises SettingsError at construction, with every problem in one message.
    """

    functions: Sequence[Callable[..., Any]] = ()
    """What may be run: functions, or `task(function, ...)`."""

    cron_jobs: Sequence[ScheduleEntry] = ()
    """What is to run when: `cron("0 3 * * *", function)`, `every(60, function)`."""

    timezone: Any = "UTC"
    """Where the cron expressions of those are meant that name no time zone of their own."""

    database: Database = DEFAULT_DATABASE
    """Path of the database, or a `sqlite:///` URL; without it the environment variable SQLITE_JOB_DATABASE counts."""

    schema: Optional[str] = None
    """In which schema of a PostgreSQL database the tables are, made if need be; None: the first of its search path."""

    max_jobs: int = 10
    """How many jobs run at once."""

    queue_limits: Mapping[str, LimitsOfQueue] = {}
    """How many jobs of a queue run at once, or start within a time, over all workers that have this setting."""

    max_tries: int = 1
    """How often a job is tried before it fails."""

    executor: str = "thread"
    """Where functions run: "thread" (coroutine functions: the event loop), or "process", in child processes."""

    job_timeout: Optional[Seconds] = None
    """Seconds that one try of a job may take; None: no limit."""

    max_jobs_per_child: Optional[int] = None
    """After how many jobs a job process is replaced by a fresh one; None: never."""

    max_rss_mb: Optional[int] = None
    """Above how many MB of memory a job process is replaced by a fresh one; None: never."""

    max_deaths: int = 3
    """How often a job may lose its worker, to a crash or a kill, before it fails; those are no tries."""

    keep_result: Optional[Seconds] = KEEP_RESULT
    """How long a completed or cancelled job is kept after its end, with its result; None: for ever."""

    keep_failed: Optional[Seconds] = KEEP_FAILED
    """How long a failed job is kept after its end; None: for ever."""

    lease: float = 30.0
    """Seconds without a sign of life after which a worker is given up; one whose process has ended, within a second."""

    backoff: Backoff = Backoff()
    """How long to wait between tries."""

    poll_delay: float = 5.0
    """Seconds between looks at the queue when nothing woke the worker: a safety net only."""

    shutdown_timeout: float = 30.0
    """Seconds that running jobs have to end once the worker is told to stop; then they are returned to the queue."""

    durability: str = "full"
    """"full": an acknowledged job survives a power cut; "normal": it survives any crash of a program."""

    allow_network_fs: bool = False
    """Whether the database may lie on a network file system or a shared folder: only if one machine alone opens it."""

    serializer: Union[str, AnySerializer] = "pickle"
    """What encodes arguments and results: "pickle", "json", "signed-pickle", or a serializer of your own."""

    accept: Sequence[Union[str, AnySerializer]] = ("pickle", "json")
    """What is decoded; `serializer` belongs to it always. With a signing one the default is nothing else."""

    max_payload: int = 1_000_000
    """The most bytes that the encoded arguments of a job, or its result, may take."""

    preview: bool = True
    """Whether a short text of arguments and results is kept for people to see."""

    redact: Optional[Redact] = None
    """What that text shows of a value: `redact(function, name, value)`; None hides what looks secret by its name."""

    middleware: Sequence[AnyMiddleware] = ()
    """What is done at each enqueue and around each call: Middleware objects, or functions that return a context."""
    capture_logs: bool = False
    """Whether the log records of a job are kept with it."""

    on_startup: Hook = None
    """Called with the worker's state before the first job; what it puts there, jobs find in `current_job().state`."""

    on_shutdown: Hook = None
    """Called with the worker's state after the last job."""

    on_job_start: Hook = None
    """Called with the job's context before each try, where the job runs; if it raises, so has the job."""

    on_job_end: Hook = None
    """Called with the job's context after each try."""

    on_failure: Hook = None
    """Called with the job's context and the failure, in the worker, once a job has failed for good."""

    subscribers: Sequence[Subscriber] = ()
    """Functions that are called with each event of a worker (`sqlite_job.events`)."""

    def __init__(self, database: Optional[Database] = None) -> None:
        """Check everything, and use `database` instead of the class's own when it is given."""
        name = type(self).__name__
        if type(self) is WorkerSettings:
            raise SettingsError(
                name, ["subclass it and list your functions: class MyWorkerSettings(WorkerSettings): functions = [...]"]
            )
        self.redact = self._hook("redact")
        problems = [*self._misspelt(), *wrong_values(self), *self._wrong_hooks(), *self._wrong_functions()]
        problems += wrong_middleware(
            self.middleware, self.functions if isinstance(self.functions, (list, tuple)) else ()
        )
        entries, wrong = self._check_cron_jobs()
        problems += wrong
        if database is None:
            database = self.database if self._is_own("database") else default_database()
        try:
            self.location = locate(database, self.schema)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it belongs into the one list
            problems.append(f"database: {error}")
        if problems:
            raise SettingsError(name, problems)
        self.codecs = make_codecs(self.serializer, self.accept if self._is_own("accept") else None)
        self.previews = Previews(self.redact or hide_secrets) if self.preview else None
        self.registry = Registry(map(self._register, map(as_task, self.functions)), name, self.codecs)
        self.retention = self._retention()
        self.hooks: Dict[str, Hook] = {hook: self._hook(hook) for hook in _HOOKS}
        self.schedules = self._make_schedules(entries)

    def _is_own(self, knob: str) -> bool:
        return any(knob in vars(parent) for parent in self._own_classes())

    def _own_classes(self) -> Iterator[type]:
        for parent in type(self).__mro__:
            if parent is WorkerSettings:
                return
            yield parent

    @property
    def origin_of_schedules(self) -> str:
        """Return by what name the rows of these schedules know where they come from.

        It is that of the class whose list it is: settings that inherit one have the same schedules.
        """
        owner = next((parent for parent in self._own_classes() if "cron_jobs" in vars(parent)), type(self))
        module = owner.__module__
        if module == "__main__":  # as which it is the same to all scripts
            file = getattr(sys.modules.get(module), "__file__", None)
            module = Path(file).stem if file else module
        return f"{module}.{owner.__qualname__}"

    def _misspelt(self) -> Iterator[str]:
        from difflib import get_close_matches

        for parent in self._own_classes():
            for attribute in vars(parent):
                if attribute.startswith("_") or attribute in KNOBS:
                    continue
                matches = get_close_matches(attribute.lower(), KNOBS, n=1, cutoff=0.8)
                if matches:
                    yield f"there is no setting {attribute!r} (did you mean {matches[0]!r}?)"

    def _wrong_hooks(self) -> Iterator[str]:
        for name in _HOOKS:
            hook = self._hook(name)
            if hook is not None and name == "on_failure":
                yield from wrong_on_failure(hook)
            elif hook is not None and not callable(hook):
                yield f"{name} is a function, not {hook!r}"

    def _wrong_functions(self) -> Iterator[str]:
        if isinstance(self.functions, (str, bytes)) or not isinstance(self.functions, (list, tuple)):
            yield f"functions is a list of functions, not {self.functions!r}"
            return
        if not self.functions:
            yield "functions is missing or empty; list what the worker may run: functions = [my_function]"
        seen: Dict[str, Task[..., Any]] = {}
        for entry in self.functions:
            if not callable(entry):
                hint = "; give the function itself, not its name" if isinstance(entry, str) else ""
                yield f"functions has {entry!r}, which is not a function{hint}"
                continue
            yield from self._wrong_task(as_task(entry), seen)

    def _wrong_task(self, entry: Task[..., Any], seen: Dict[str, Task[..., Any]]) -> Iterator[str]:
        if entry.name is None:
            yield f"functions has {entry.function!r}, which has no name of its own; write task(function, name='...')"
            return
        try:
            check_name(entry.name, "function name")
        except InvalidNameError as error:
            yield str(error)
        if entry.name in seen:
            yield f"two functions are named {entry.name!r}; give one another name: task(function, name='...')"
        seen[entry.name] = entry
        yield from (f"{entry.name}: {problem}" for problem in entry.options.problems())

    def _check_cron_jobs(self) -> Tuple[List[CheckedEntry], List[str]]:
        if self.cron_jobs == ():
            return [], []
        from sqlite_job.core.schedule_checks import check_entries  # for those who have schedules

        return check_entries(self.cron_jobs, self.functions, type(self).__name__, self.timezone)

    def _make_schedules(self, entries: Sequence[CheckedEntry]) -> Tuple[Schedule, ...]:
        if not entries:
            return ()
        from sqlite_job.core.schedule_checks import make_schedule

        maker = JobMaker(self.codecs, self.max_payload, self.previews)
        made: List[Schedule] = []
        problems: List[str] = []
        for checked in entries:
            task = self.registry.find(checked.entry.function)
            resolved = Resolved(task.name, task.queue or "default", task.priority, task.parameters)
            try:
                made.append(make_schedule(checked, resolved, self.origin_of_schedules, maker))
            except EncodeError as error:
                problems.append(f"schedule {checked.name!r}: {error}")
        if problems:
            raise SettingsError(type(self).__name__, problems)
        return tuple(made)

    def _register(self, entry: Task[..., Any]) -> RegisteredTask:
        options = entry.options
        assert entry.name is not None  # noqa: S101 - checked in _wrong_task
        timeout = self.job_timeout if options.timeout is None else options.timeout
        return RegisteredTask(
            name=entry.name,
            function=entry.function,
            is_coroutine=runs_as_coroutine(entry.function),
            queue=options.queue,
            priority=options.priority or 0,
            parameters=parameters_of(entry.function),
            retry=RetryPolicy(
                max_tries=options.max_tries or self.max_tries,
                backoff=options.backoff or self.backoff,
                retry_on=as_exceptions(options.retry_on, (Exception,)),
                give_up_on=as_exceptions(options.give_up_on, ()),
            ),
            timeout=None if timeout is None or options.batch else to_seconds(timeout),
            executor="thread" if options.batch else options.executor or self.executor,
            flow=options.flow,
            batch=None if options.batch is None else Batch(options.batch, to_seconds(options.within or DEFAULT_WITHIN)),
            on_failure=options.on_failure or self._hook("on_failure"),
            capture_logs=options.batch is None
            and (self.capture_logs if options.capture_logs is None else options.capture_logs),
        )

    def _retention(self) -> Retention:
        keep = keep_of(self.keep_result, self.keep_failed)
        chosen = {entry.name: entry.options for entry in map(as_task, self.functions)}
        return Retention(
            {name: keep_of(options.keep_result, options.keep_failed, keep) for name, options in chosen.items() if name},
            keep,
        )

    def _hook(self, name: str) -> Hook:
        """Return a hook as it was meant: a function set as an attribute takes no `self`, a method of the class does."""
        found = inspect.getattr_static(type(self), name)
        if inspect.isfunction(found) and not _is_method_of(found, type(self)):
            return found
        hook: Hook = getattr(self, name)
        return hook


def check_settings(settings: object, taker: str) -> WorkerSettings:
    """Return settings that are an instance of WorkerSettings; raises TypeError with the mend otherwise."""
    if isinstance(settings, WorkerSettings):
        return settings
    if isinstance(settings, type) and issubclass(settings, WorkerSettings):
        message = f"{taker} takes an instance of settings: write {settings.__name__}()"
    else:
        message = f"{taker} takes an instance of WorkerSettings with your functions, not {settings!r}"
    raise TypeError(message)


def _is_method_of(function: Callable[..., Any], owner: type) -> bool:
    if function.__name__ == "<lambda>":
        return False
    where = function.__qualname__.rpartition(".")[0]
    return any(where == parent.__qualname__ and function.__module__ == parent.__module__ for parent in owner.__mro__)


KNOBS: Tuple[str, ...] = tuple(
    name for name, value in vars(WorkerSettings).items() if not name.startswith("_") and not isinstance(value, property)
)
