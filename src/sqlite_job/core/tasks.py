"""Register functions as tasks: their names, their options, and calls of them with arguments."""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    overload,
)

from sqlite_job.core.batches import MOST_IN_BATCH, Batch
from sqlite_job.core.conditions import Flow, Unique
from sqlite_job.core.errors import InvalidNameError, UnknownFunctionError
from sqlite_job.core.limits import Limit, RateLimit
from sqlite_job.core.names import check_name
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.parameters import NO_PARAMETERS, Parameters, why_not_callable_with
from sqlite_job.core.retention import UNSAID, MaybeKeep, Unsaid
from sqlite_job.core.retries import Backoff, RetryPolicy, Seconds, to_seconds

if sys.version_info >= (3, 10):
    from typing import ParamSpec
else:
    from typing_extensions import ParamSpec

if TYPE_CHECKING:
    from sqlite_job.core.context import JobContext
    from sqlite_job.core.jobs import JobFailure
    from sqlite_job.core.serializers import Codecs

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

# Where a function may run; "thread" means the event loop for a coroutine function.
EXECUTORS = ("thread", "process")

_ATTRIBUTE = "__sqlite_job_options__"

Exceptions = Union[Type[BaseException], Tuple[Type[BaseException], ...]]


_NOT_IN_BATCHES = {
    "timeout": "nothing could stop one job of a call",
    "executor": "batches run in the worker",
    "rate_limit": "a call would start many jobs at once",
    "capture_logs": "a log record would belong to all jobs of a call",
}


@dataclass(frozen=True)
class TaskOptions:
    """What `task` may say of one function; None leaves the matter to the settings, but for how long jobs are kept."""

    name: Optional[str] = None
    queue: Optional[str] = None
    priority: Optional[int] = None
    max_tries: Optional[int] = None
    backoff: Optional[Backoff] = None
    retry_on: Optional[Exceptions] = None
    give_up_on: Optional[Exceptions] = None
    timeout: Optional[Seconds] = None
    executor: Optional[str] = None
    unique: Optional[Unique] = None
    unique_for: Optional[Seconds] = None
    concurrency: Optional[Limit] = None
    rate_limit: Optional[RateLimit] = None
    on_failure: Optional[Callable[..., Any]] = None
    batch: Optional[int] = None
    within: Optional[Seconds] = None
    keep_result: MaybeKeep = UNSAID
    keep_failed: MaybeKeep = UNSAID
    capture_logs: Optional[bool] = None

    @property
    def flow(self) -> Optional[Flow]:
        """What they say of whether, when and how many of the jobs run; None when nothing."""
        flow = Flow(self.unique, self.unique_for, self.concurrency, self.rate_limit)
        return None if flow == Flow() else flow

    def problems(self) -> Iterator[str]:
        """Yield what cannot work, each as one sentence with the value and the mend."""
        for name, kind in ((self.name, "function name"), (self.queue, "queue name")):
            if name is not None:
                try:
                    check_name(name, kind)
                except InvalidNameError as error:
                    yield str(error)
        yield from self._wrong_numbers()
        yield from self._wrong_flow()
        yield from self._wrong_batch()
        if self.executor not in (None, *EXECUTORS):
            yield f"executor is {' or '.join(map(repr, EXECUTORS))}, not {self.executor!r}"
        if self.capture_logs is not None and not isinstance(self.capture_logs, bool):
            yield f"capture_logs is True or False, not {self.capture_logs!r}"
        for word in ("retry_on", "give_up_on"):
            chosen = getattr(self, word)
            if chosen is not None and not _are_exceptions(chosen):
                yield f"{word} is an exception class or a tuple of them, not {chosen!r}"
        if self.on_failure is not None:
            yield from wrong_on_failure(self.on_failure)

    def _wrong_numbers(self) -> Iterator[str]:
        if self.priority is not None and not is_whole(self.priority):
            yield f"priority is a whole number, not {self.priority!r}"
        if self.max_tries is not None and not is_whole(self.max_tries, least=1):
            yield f"max_tries is a whole number from 1, not {self.max_tries!r}"
        for word in ("timeout", "unique_for"):
            if getattr(self, word) is not None:
                yield from _wrong_duration(word, getattr(self, word))
        for word in ("keep_result", "keep_failed"):
            yield from _wrong_period(word, getattr(self, word))
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            yield f"backoff is a Backoff, as Backoff(first=2), not {self.backoff!r}"

    def _wrong_batch(self) -> Iterator[str]:
        if self.within is not None:
            if self.batch is None:
                yield "within is for batches: give batch, too"
            yield from _wrong_duration("within", self.within)
        if self.batch is None:
            return
        if not is_whole(self.batch, least=2) or self.batch > MOST_IN_BATCH:
            yield f"batch is a whole number from 2 to {MOST_IN_BATCH:,}, not {self.batch!r}"
        for word, why in _NOT_IN_BATCHES.items():
            if getattr(self, word) not in (None, "thread"):
                yield f"{word} does not go with batch: {why}"

    def _wrong_flow(self) -> Iterator[str]:
        unique = self.unique
        if not (unique is None or isinstance(unique, (bool, str)) or callable(unique)):
            yield f"unique is True, a key, or a function of the job's arguments that gives one, not {unique!r}"
        if self.concurrency is not None and not isinstance(self.concurrency, Limit):
            yield f"concurrency is a Limit, as Limit({self.concurrency!r}), not {self.concurrency!r}"
        if self.rate_limit is not None and not isinstance(self.rate_limit, RateLimit):
            yield f"rate_limit is a RateLimit, as RateLimit(10, per=60), not {self.rate_limit!r}"


class Task(Generic[P, T]):
    """A function with options; calling it calls the function."""

    def __init__(self, function: Callable[P, T], options: TaskOptions) -> None:
        """Join a function and its options; both are checked when the settings are."""
        self.function = function
        self.options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Show the name jobs are enqueued under."""
        return f"<Task {self.name or self.function!r}>"

    @property
    def name(self) -> Optional[str]:
        """The name jobs are enqueued under; None where the function has none of its own."""
        if self.options.name is not None:
            return self.options.name
        name = getattr(self.function, "__name__", None)
        return None if name == "<lambda>" else name


@overload
def task(
    function: Callable[P, T],
    *,
    name: Optional[str] = ...,
    queue: Optional[str] = ...,
    priority: Optional[int] = ...,
    max_tries: Optional[int] = ...,
    backoff: Optional[Backoff] = ...,
    retry_on: Optional[Exceptions] = ...,
    give_up_on: Optional[Exceptions] = ...,
    timeout: Optional[Seconds] = ...,
    executor: Optional[str] = ...,
    unique: Optional[Unique] = ...,
    unique_for: Optional[Seconds] = ...,
    concurrency: Optional[Limit] = ...,
    rate_limit: Optional[RateLimit] = ...,
    on_failure: Optional[Callable[[JobContext, JobFailure], Any]] = ...,
    batch: Optional[int] = ...,
    within: Optional[Seconds] = ...,
    keep_result: Optional[Seconds] = ...,
    keep_failed: Optional[Seconds] = ...,
    capture_logs: Optional[bool] = ...,
) -> Task[P, T]: ...


@overload
def task(
    *,
    name: Optional[str] = ...,
    queue: Optional[str] = ...,
    priority: Optional[int] = ...,
    max_tries: Optional[int] = ...,
    backoff: Optional[Backoff] = ...,
    retry_on: Optional[Exceptions] = ...,
    give_up_on: Optional[Exceptions] = ...,
    timeout: Optional[Seconds] = ...,
    executor: Optional[str] = ...,
    unique: Optional[Unique] = ...,
    unique_for: Optional[Seconds] = ...,
    concurrency: Optional[Limit] = ...,
    rate_limit: Optional[RateLimit] = ...,
    on_failure: Optional[Callable[[JobContext, JobFailure], Any]] = ...,
    batch: Optional[int] = ...,
    within: Optional[Seconds] = ...,
    keep_result: Optional[Seconds] = ...,
    keep_failed: Optional[Seconds] = ...,
    capture_logs: Optional[bool] = ...,
) -> Callable[[F], F]: ...


def task(function: Optional[Callable[..., Any]] = None, **options: Any) -> Any:
    """Give a function options: `task(fn, max_tries=3)` in `functions`, or `@task(max_tries=3)` above it.

    As a decorator it leaves the function as it was and only notes the options on it. Raises TypeError for an
    unknown option, and ValueError for a value that cannot work.
    """
    chosen = TaskOptions(**options)
    problems = list(chosen.problems())
    if problems:
        raise ValueError("; ".join(problems))
    if function is not None:
        if not callable(function):
            message = f"task() takes a function, not {function!r}"
            raise TypeError(message)
        return Task(function, chosen)

    def decorate(decorated: F) -> F:
        setattr(decorated, _ATTRIBUTE, chosen)
        return decorated

    return decorate


def as_task(entry: Callable[..., Any]) -> Task[..., Any]:
    """Return an entry of `functions` as a Task: itself, or the function with the options noted on it."""
    if isinstance(entry, Task):
        return entry
    return Task(entry, getattr(entry, _ATTRIBUTE, None) or TaskOptions())


@dataclass(frozen=True)
class RegisteredTask:
    """One function a worker can run, with all that settings and task say of it."""

    name: str
    function: Callable[..., Any]
    is_coroutine: bool
    queue: Optional[str]
    priority: int
    retry: RetryPolicy
    timeout: Optional[float] = None
    executor: str = "thread"
    parameters: Parameters = NO_PARAMETERS
    flow: Optional[Flow] = None
    on_failure: Optional[Callable[..., Any]] = None
    capture_logs: bool = False
    batch: Optional[Batch] = None


class Registry:
    """The functions of one settings class, by name; the only way from a stored name to code."""

    def __init__(self, tasks: Iterable[RegisteredTask], owner: str, codecs: Codecs) -> None:
        """Keep the tasks by name and by function; `owner` names the settings in errors."""
        self.owner = owner
        self.codecs = codecs
        self.tasks: Dict[str, RegisteredTask] = {}
        self._by_function: Dict[Callable[..., Any], RegisteredTask] = {}
        for registered in tasks:
            self.tasks[registered.name] = registered
            with suppress(TypeError):  # not hashable: looked for one by one
                self._by_function.setdefault(registered.function, registered)

    @property
    def names(self) -> List[str]:
        """All names, in the order of the settings."""
        return list(self.tasks)

    @property
    def limited(self) -> Tuple[str, ...]:
        """The names of those that have a limit."""
        return tuple(name for name, task in self.tasks.items() if task.flow is not None and task.flow.is_limited)

    def find(self, function: Union[str, Callable[..., Any]]) -> RegisteredTask:
        """Return the task of that name, function or Task; raises UnknownFunctionError."""
        if isinstance(function, str):
            registered = self.tasks.get(function)
            name: Optional[str] = function
        elif isinstance(function, Task):
            registered = self.tasks.get(function.name or "")
            name = function.name
            if registered is not None and registered.function != function.function:
                registered = None
        else:
            registered = self._of_function(function)
            name = as_task(function).name
        if registered is None:
            raise UnknownFunctionError(name or repr(function), self.owner, self.tasks)
        return registered

    def _of_function(self, function: Callable[..., Any]) -> Optional[RegisteredTask]:
        try:
            return self._by_function.get(function)
        except TypeError:  # an object with a __call__ that cannot be hashed
            return next((task for task in self.tasks.values() if task.function is function), None)


def runs_as_coroutine(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine: of an `async def`, a partial of one, or an object with an async call."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - asks what kind of call, not whether


def wrong_on_failure(hook: object) -> Iterator[str]:
    """Yield what keeps it from being called for a failed job."""
    if not callable(hook):
        yield f"on_failure is a function, not {hook!r}"
        return
    problem = why_not_callable_with(hook, "job", "failure")
    if problem is not None:
        yield f"on_failure is called with (job, failure), which {hook!r} does not take: {problem}"


def as_exceptions(
    chosen: Optional[Exceptions], default: Tuple[Type[BaseException], ...]
) -> Tuple[Type[BaseException], ...]:
    """Return a class or a tuple of classes as a tuple."""
    if chosen is None:
        return default
    return chosen if isinstance(chosen, tuple) else (chosen,)


def _wrong_duration(word: str, duration: Seconds) -> Iterator[str]:
    try:
        if to_seconds(duration) > 0:
            return
    except (TypeError, ValueError) as error:
        yield f"{word}: {error}"
        return
    yield f"{word} is more than 0 seconds, not {duration!r}; leave it out for no limit"


def _wrong_period(word: str, period: MaybeKeep) -> Iterator[str]:
    if period is None or isinstance(period, Unsaid):
        return
    try:
        to_seconds(period)
    except (TypeError, ValueError) as error:
        yield f"{word}: {error}, or None for ever"


def _are_exceptions(chosen: object) -> bool:
    classes = chosen if isinstance(chosen, tuple) else (chosen,)
    return all(isinstance(one, type) and issubclass(one, BaseException) for one in classes)
