"""Let a program do something at each enqueue, and around each call of a job's function."""

from __future__ import annotations

import inspect
from contextvars import copy_context
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, Awaitable, Callable, ContextManager, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from sqlite_job.core.context import JobContext, current_job, parse_meta, parse_tags
from sqlite_job.core.options import JobOptions, amend
from sqlite_job.core.parameters import why_not_callable_with
from sqlite_job.core.tasks import as_task, runs_as_coroutine


class EnqueueContext:
    """A job that is about to be stored; `queue`, `priority`, `tags` and `meta` may be changed."""

    __slots__ = ("_args", "_function", "_id", "_kwargs", "meta", "priority", "queue", "tags")

    def __init__(
        self,
        job_id: str,
        function: str,
        args: Tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        queue: str,
        priority: int,
        tags: Optional[str],
        meta: Optional[str],
    ) -> None:
        """Take what is known of the job; `tags` and `meta` as JSON."""
        self._id = job_id
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self.queue = queue
        self.priority = priority
        self.tags: List[str] = list(parse_tags(tags))
        self.meta = dict(parse_meta(meta))

    @property
    def id(self) -> str:
        """The id that the job will have."""
        return self._id

    @property
    def function(self) -> str:
        """The name of the function."""
        return self._function

    @property
    def args(self) -> Tuple[Any, ...]:
        """The positional arguments, not yet encoded."""
        return self._args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The keyword arguments, not yet encoded; read-only."""
        return MappingProxyType(dict(self._kwargs))

    def __repr__(self) -> str:
        """Show what is enqueued."""
        return f"<EnqueueContext {self.id} {self.function}>"


class Middleware:
    """Override what you need; what is not overridden costs nothing. The first one listed is the outermost."""

    def enqueue(self, job: EnqueueContext) -> None:
        """Look at a job before it is encoded and stored, and change it; if this raises, nothing is written."""

    def run(self, job: JobContext, proceed: Callable[[], Any]) -> Any:  # noqa: ARG002 - for those who override
        """Call a plain function with `proceed()`, where the job runs; return its value.

        What this raises, the job has raised, and what it returns is the job's result.
        """
        return proceed()

    async def run_async(self, job: JobContext, proceed: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG002
        """Do as `run` for a coroutine function, with `await proceed()`."""
        return await proceed()


AnyMiddleware = Union[Middleware, Callable[[JobContext], ContextManager[Any]]]


def takers_of_enqueue(entries: Sequence[AnyMiddleware]) -> Tuple[Middleware, ...]:
    """Return those that want to see a job before it is stored."""
    return tuple(one for one in map(_as_middleware, entries) if _overrides(one, "enqueue"))


def prepare(middleware: Sequence[Middleware], job: EnqueueContext, options: JobOptions) -> JobOptions:
    """Show the job to each, in order, and return the options with what they changed.

    Raises what they raise, and InvalidOptionError or InvalidNameError for changes that cannot be.
    """
    for one in middleware:
        one.enqueue(job)
    return amend(options, queue=job.queue, priority=job.priority, tags=job.tags, meta=job.meta)


def wrap(function: Callable[..., Any], entries: Sequence[AnyMiddleware], *, is_coroutine: bool) -> Callable[..., Any]:
    """Return a function of the same arguments that calls `function` through all of them; itself if none wants to.

    It works inside a job only.
    """
    method = "run_async" if is_coroutine else "run"
    takers = [one for one in map(_as_middleware, entries) if _overrides(one, method)]
    calls = [getattr(one, method) for one in reversed(takers)]
    if not calls:
        return function

    def chain(args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
        job = current_job()
        proceed = partial(function, *args, **kwargs)
        for call in calls:
            proceed = partial(call, job, proceed)
        return proceed

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        # A thread goes on to other jobs: what a middleware leaves in a context variable must not go with it.
        return copy_context().run(chain(args, kwargs))

    @wraps(function)
    async def run_async(*args: Any, **kwargs: Any) -> Any:
        return await chain(args, kwargs)()

    return run_async if is_coroutine else run


def wrong_middleware(entries: object, functions: Sequence[Any] = ()) -> Iterator[str]:
    """Yield what cannot work, each as a sentence with the value and the mend.

    One that wraps plain functions only would leave out coroutine functions in silence, so that is wrong too.
    """
    if isinstance(entries, (str, bytes)) or not isinstance(entries, (list, tuple)):
        yield f"middleware is a list of Middleware objects and functions, not {entries!r}"
        return
    for entry in entries:
        if isinstance(entry, Middleware):
            yield from _wrong_methods(entry)
            yield from _left_out(entry, functions)
        else:
            yield from _wrong_entry(entry)


class _Around(Middleware):
    """A function of the job that returns a context manager, as `@contextmanager` makes it."""

    def __init__(self, enter: Callable[[JobContext], ContextManager[Any]]) -> None:
        self._enter = enter

    def run(self, job: JobContext, proceed: Callable[[], Any]) -> Any:
        with self._enter(job):
            return proceed()
        return None  # an exception was swallowed

    async def run_async(self, job: JobContext, proceed: Callable[[], Awaitable[Any]]) -> Any:
        with self._enter(job):
            return await proceed()
        return None


def _as_middleware(entry: AnyMiddleware) -> Middleware:
    return entry if isinstance(entry, Middleware) else _Around(entry)


def _overrides(one: Middleware, method: str) -> bool:
    return getattr(type(one), method) is not getattr(Middleware, method)


def _wrong_methods(one: Middleware) -> Iterator[str]:
    for name, arguments, is_coroutine in (
        ("enqueue", ("job",), False),
        ("run", ("job", "proceed"), False),
        ("run_async", ("job", "proceed"), True),
    ):
        where, method = f"{type(one).__name__}.{name}", getattr(one, name)
        if runs_as_coroutine(method) != is_coroutine:
            yield f"middleware: {where} must be written with {'async def' if is_coroutine else 'def, not async def'}"
            continue
        problem = why_not_callable_with(method, *arguments)
        if problem is not None:
            yield f"middleware: {where} is called with ({', '.join(arguments)}), which it does not take: {problem}"


def _left_out(one: Middleware, functions: Sequence[Any]) -> Iterator[str]:
    overridden = [name for name in ("run", "run_async") if _overrides(one, name)]
    if len(overridden) != 1:
        return
    (there,) = overridden
    missing, kind = ("run_async", "coroutine") if there == "run" else ("run", "plain")
    for entry in filter(callable, functions):
        task = as_task(entry)
        if runs_as_coroutine(task.function) == (missing == "run_async"):
            yield (
                f"middleware: {type(one).__name__} has {there} only, and would leave out {task.name!r}, "
                f"a {kind} function; write {missing} too"
            )
            return


def _wrong_entry(entry: object) -> Iterator[str]:
    if isinstance(entry, type) and issubclass(entry, Middleware):
        yield f"middleware has the class {entry.__name__}; give an instance: {entry.__name__}()"
    elif not callable(entry):
        yield f"middleware has {entry!r}, which is neither a Middleware nor a function"
    elif inspect.isgeneratorfunction(entry):
        yield f"middleware has {entry!r}, a generator function; write @contextmanager above it"
    elif runs_as_coroutine(entry) or inspect.isasyncgenfunction(inspect.unwrap(entry)):
        yield f"middleware has {entry!r}, which is asynchronous; derive from Middleware and write run_async"
    else:
        problem = why_not_callable_with(entry, "job")
        if problem is not None:
            yield (
                f"middleware has {entry!r}, which is called with the job alone, to return a context manager: "
                f"{problem}; to call the function yourself, derive from Middleware"
            )
