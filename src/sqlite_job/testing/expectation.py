"""Say what a job is expected to be, and in what another one differs from it."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Tuple, Union

from sqlite_job.connections import SQLiteJob
from sqlite_job.core.calls import Call
from sqlite_job.core.errors import DecodeError, EncodeError, InvalidOptionError
from sqlite_job.core.retries import Seconds, to_seconds
from sqlite_job.core.states import JobStatus
from sqlite_job.core.tasks import Task

if TYPE_CHECKING:
    from sqlite_job.testing.assertions import EnqueuedJob

Delay = Union[Seconds, Tuple[Seconds, Seconds]]
Arguments = Tuple[Tuple[Any, ...], Mapping[str, Any]]

# What a test calls "in a minute" was said a moment before, or will be a moment later.
_TOLERANCE = timedelta(seconds=1)


class Options(NamedTuple):
    """What may be said of a job besides its function and arguments; each as `with_options` takes it."""

    queue: Optional[str]
    priority: Optional[int]
    delay: Optional[Delay]
    run_at: Optional[datetime]
    tags: Iterable[str]
    meta: Optional[Mapping[str, Any]]
    status: Union[str, JobStatus, None]


class Expectation:
    """A function, arguments and options that a job may match; those that are None match all."""

    def __init__(
        self, jobs: SQLiteJob, function: Union[str, Callable[..., Any], Call[Any], None], options: Options
    ) -> None:
        """Check what is expected; raises as the door's own methods do for what no job could be."""
        self._jobs = jobs
        self.arguments: Optional[Arguments] = None
        if isinstance(function, Call):
            self.arguments = tuple(function.args), dict(function.kwargs)
            function = function.function
        # The first field of what `enqueue` would store. With settings an unknown name cannot pass unnoticed.
        self.function = None if function is None else jobs._resolve(function)[0]  # noqa: SLF001
        self._signature = _signature_of(jobs, function)
        self.options = _checked(jobs, options)

    def is_met_by(self, job: EnqueuedJob) -> bool:
        """Whether a job is as expected."""
        return next(self.differences(job), None) is None

    def differences(self, job: EnqueuedJob) -> Iterator[str]:
        """Yield in what a job differs, each as a few words that show what it has."""
        if self.function not in (None, job.function):
            yield "another function"
        yield from self._wrong_arguments(job)
        yield from self._wrong_options(job)

    def likeness(self, job: EnqueuedJob) -> float:
        """Return how near a job's arguments come, from 0 (none is the same) to 1."""
        if self.arguments is None:
            return 1.0
        try:
            args, kwargs = self._normal((job.args, job.kwargs))
        except DecodeError:
            return 0.0
        expected_args, expected_kwargs = self._normal(self.arguments)
        pairs = [*zip(expected_args, args), *((kwargs.get(name), value) for name, value in expected_kwargs.items())]
        most = max(len(args) + len(kwargs), len(expected_args) + len(expected_kwargs), 1)
        return sum(_are_equal(left, right) for left, right in pairs) / most

    def _wrong_arguments(self, job: EnqueuedJob) -> Iterator[str]:
        if self.arguments is None or self.function not in (None, job.function):
            return
        try:
            are_same = self._are_same(self.arguments, job)
        except DecodeError as error:
            yield str(error)
            return
        if not are_same:
            yield "other arguments"

    def _are_same(self, expected: Arguments, job: EnqueuedJob) -> bool:
        found = self._normal((job.args, job.kwargs))
        if _are_equal(self._normal(expected), found):
            return True
        # As the worker gets them: JSON makes a list of a tuple; and objects without an `__eq__` have bytes to compare.
        codecs = self._jobs._codecs  # noqa: SLF001
        try:
            encoded = codecs.encode(expected, job.function, job.id)
        except EncodeError:
            return False
        if (codecs.encoder.name, encoded) == (job.stored.codec, job.stored.args):
            return True
        args, kwargs = codecs.decode(codecs.encoder.name, encoded, job.function, job.id)
        return _are_equal(self._normal((tuple(args), kwargs)), found)

    def _normal(self, arguments: Arguments) -> Arguments:
        """Return arguments as the function's parameters take them: `f(1)` and `f(a=1)` are the same call."""
        args, kwargs = arguments
        if self._signature is None:
            return args, dict(kwargs)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:  # a call that will fail; it may well be what was enqueued
            return args, dict(kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _wrong_options(self, job: EnqueuedJob) -> Iterator[str]:
        info, options = job.info, self.options
        for name in ("queue", "priority", "status"):
            wanted, found = getattr(options, name), getattr(info, name)
            if wanted is not None and wanted != found:
                yield f"{name}={_plain(found)!r}"
        if options.delay is not None and not _is_within(options.delay, _delay_of(job)):
            yield f"delay={_delay_of(job):g}"
        if options.run_at is not None and abs(options.run_at - (info.run_at or info.created_at)) > _TOLERANCE:
            yield f"run_at={(info.run_at or info.created_at).isoformat()}"
        if not set(options.tags) <= set(info.tags):
            yield f"tags={list(info.tags)!r}"
        if options.meta is not None and any(info.meta.get(key, ...) != value for key, value in options.meta.items()):
            yield f"meta={dict(info.meta)!r}"

    def options_said(self) -> Dict[str, Any]:
        """Return the options that were given, as they are to be shown."""
        said = {name: _plain(value) for name, value in self.options._asdict().items() if value not in (None, ())}
        if self.options.run_at is not None:
            said["run_at"] = self.options.run_at.isoformat()
        return said


def _signature_of(jobs: SQLiteJob, function: Any) -> Optional[inspect.Signature]:
    registry = jobs._registry  # noqa: SLF001
    if isinstance(function, str):
        function = None if registry is None else registry.find(function).function
    if isinstance(function, Task):
        function = function.function
    try:
        return None if function is None else inspect.signature(function)
    except (TypeError, ValueError):  # it does not tell
        return None


def _checked(jobs: SQLiteJob, options: Options) -> Options:
    jobs.with_options(
        queue=options.queue, priority=options.priority, run_at=options.run_at, tags=options.tags, meta=options.meta
    )
    jobs.list_jobs(status=options.status, limit=1)  # raises for a status that there is not
    if options.delay is not None:
        _range(options.delay)
    status = None if options.status is None else JobStatus(str(options.status).lower())
    return options._replace(tags=tuple(options.tags), status=status)


def _range(delay: Delay) -> Tuple[float, float]:
    try:
        if not isinstance(delay, tuple):
            seconds = to_seconds(delay)
            return seconds - _TOLERANCE.total_seconds(), seconds + _TOLERANCE.total_seconds()
        least, most = map(to_seconds, delay)
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"delay: {error}; or give a pair, (least, most)") from None
    if least > most:
        raise InvalidOptionError(f"delay is a pair (least, most), not {delay!r}")
    return least, most


def _is_within(delay: Delay, seconds: float) -> bool:
    least, most = _range(delay)
    return least <= seconds <= most


def _delay_of(job: EnqueuedJob) -> float:
    info = job.info
    return 0.0 if info.run_at is None else (info.run_at - info.created_at).total_seconds()


def _are_equal(expected: Any, found: Any) -> bool:
    try:
        return bool(expected == found)
    except Exception:  # noqa: BLE001 - whatever a value's own comparison raises, as an array's does: not equal
        return False


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, JobStatus) else value
