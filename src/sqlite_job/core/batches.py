"""Give one call of a function the arguments of many jobs, and each job an outcome of its own."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, NamedTuple, Sequence, Tuple

from sqlite_job.core.context import JobContext, current_job

# More would be held back from other workers than one commit should carry.
MOST_IN_BATCH = 1_000


# How long the first job of a batch waits for others, in seconds.
DEFAULT_WITHIN = 0.5


class BatchedJob(NamedTuple):
    """One of the jobs that a batch function is given: its arguments, and the job itself as `current_job()` shows it."""

    job: JobContext
    args: Tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Batch(NamedTuple):
    """How a function is called: with at most `size` jobs, after `within` seconds with those that are there."""

    size: int
    within: float


def results_of(value: Any, jobs: int) -> Sequence[Any]:
    """Return what a batch function returned for each job: None is for all of them; raises TypeError."""
    if value is None:
        return [None] * jobs
    if isinstance(value, (list, tuple)) and len(value) == jobs:
        return value
    found = f"{len(value)} results" if isinstance(value, (list, tuple)) else repr(type(value).__name__)
    message = f"a batch function returns a list with one result for each of its {jobs} jobs, or None, not {found}"
    raise TypeError(message)


def as_single(function: Callable[..., Any], *, is_coroutine: bool) -> Callable[..., Any]:
    """Return a function of one job's arguments that calls a batch function with this job alone."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return _only(function(_alone(args, kwargs)))

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return _only(await function(_alone(args, kwargs)))

    return call_async if is_coroutine else call


def _alone(args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> List[BatchedJob]:
    return [BatchedJob(current_job(), args, kwargs)]


def _only(value: Any) -> Any:
    (result,) = results_of(value, 1)
    if isinstance(result, BaseException):
        raise result
    return result
