"""Whatever a job does ends that job and nothing else: for each kind of failure the next job is completed."""

from __future__ import annotations

import asyncio
import builtins
import sys

import pytest

from sqlite_job import JobFailedError, JobStatus
from tests.doors.making import kinds, run_beside_another

# ---- exceptions ------------------------------------------------------------------------------------------------------


class ShyError(Exception):
    def __str__(self):
        raise RuntimeError("I have no message")


class NumberError(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307 - so it is with some


class LoudError(Exception):
    def __str__(self):
        return "\ud800 \x00 " + "x" * 1_000_000


class ExitingError(Exception):
    def __str__(self):
        raise SystemExit(4)


def raising(error):
    def work():
        raise error

    return work


def recurse():
    recurse()


def chained():
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise ValueError("the effect") from error


@kinds
@pytest.mark.parametrize(
    ("function", "error_type", "message"),
    [
        (raising(ValueError("no such luck")), "ValueError", "no such luck"),
        (raising(ValueError()), "ValueError", ""),
        (raising(SystemExit(3)), "SystemExit", "3"),
        (lambda: sys.exit("enough"), "SystemExit", "enough"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt", ""),
        (raising(GeneratorExit("closing")), "GeneratorExit", "closing"),
        (raising(asyncio.CancelledError("given up")), "asyncio.exceptions.CancelledError", "given up"),
        (raising(BaseException("the root of all")), "BaseException", "the root of all"),
        (raising(MemoryError()), "MemoryError", ""),
        (recurse, "RecursionError", "maximum recursion depth exceeded"),
        (chained, "ValueError", "the effect"),
        (raising(ShyError()), "tests.doors.test_worker_failures.ShyError", "(the exception cannot be shown"),
        (raising(NumberError()), "tests.doors.test_worker_failures.NumberError", "(the exception cannot be shown"),
        (raising(LoudError()), "tests.doors.test_worker_failures.LoudError", "\\ud800 \\x00 xxx"),
        (raising(ExitingError()), "tests.doors.test_worker_failures.ExitingError", "(the exception cannot be shown"),
        (lambda needed: None, "TypeError", "missing 1 required positional argument: 'needed'"),
    ],
    ids=[
        *("ValueError", "no message", "SystemExit", "sys.exit", "KeyboardInterrupt", "GeneratorExit"),
        *("CancelledError", "BaseException", "MemoryError", "RecursionError", "chained", "str raises"),
        *("str is no text", "surrogates and a megabyte", "str exits", "wrong arguments"),
    ],
)
def test_any_exception_fails_its_job_with_type_message_and_traceback(database, kind, function, error_type, message):
    info, job = run_beside_another(database, function, kind)

    assert info.status is JobStatus.FAILED
    (failure,) = job._jobs.failures(job)
    assert failure.error_type == error_type
    assert message in failure.message
    assert len(failure.message) <= 2_000
    assert 0 < len(failure.traceback) <= 40_000
    assert failure.started_at <= failure.finished_at
    assert info.error.startswith(failure.error_type)
    with pytest.raises(JobFailedError) as caught:
        job.result(timeout=0)
    assert (caught.value.error_type, caught.value.traceback) == (failure.error_type, failure.traceback)


@kinds
def test_a_job_may_raise_stop_iteration(database, kind):
    info, _ = run_beside_another(database, raising(StopIteration("at the end")), kind)

    # Python itself turns it into a RuntimeError where a coroutine raises it.
    assert info.status is JobStatus.FAILED
    assert "StopIteration" in info.error


@kinds
def test_a_job_may_raise_an_exception_of_a_class_without_a_module(database, kind):
    error = type("HomelessError", (Exception,), {"__module__": None})("no home")

    info, _ = run_beside_another(database, raising(error), kind)

    assert info.status is JobStatus.FAILED
    assert "HomelessError: no home" in info.error


@kinds
def test_a_traceback_begins_in_the_users_code_and_has_the_cause(database, kind):
    _, job = run_beside_another(database, chained, kind)

    (failure,) = job._jobs.failures(job)
    assert "sqlite_job/engine" not in failure.traceback.replace("\\", "/")
    assert "in chained" in failure.traceback
    assert "KeyError: 'the cause'" in failure.traceback
    assert "ValueError: the effect" in failure.traceback


@kinds
def test_an_exception_group_is_kept_with_its_members(database, kind):
    group = vars(builtins).get("ExceptionGroup")
    if group is None:
        pytest.skip("exception groups came with Python 3.11")

    info, job = run_beside_another(database, raising(group("several", [ValueError("one"), KeyError("two")])), kind)

    assert info.error == "ExceptionGroup: several (2 sub-exceptions)"
    assert "ValueError: one" in job._jobs.failures(job)[0].traceback


# ---- what only coroutines can do -------------------------------------------------------------------------------------


async def exit_now():
    sys.exit(3)


async def interrupt_now():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "work",
    [
        lambda: asyncio.ensure_future(exit_now()),
        lambda: asyncio.gather(exit_now(), asyncio.sleep(0)),
        lambda: asyncio.wait_for(exit_now(), 5),
        lambda: asyncio.ensure_future(interrupt_now()),
    ],
    ids=["task", "gather", "wait_for", "interrupt"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_task_of_a_coroutine_that_exits_fails_its_job_and_not_the_event_loop(database, work):
    info, _ = run_beside_another(database, work, "coroutine")

    assert info.status is JobStatus.FAILED
    assert info.error.startswith(("SystemExit", "KeyboardInterrupt"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_exits_does_not_stop_the_event_loop(database):
    async def leave_a_callback():
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(0.01)
        return "done all the same"

    info, job = run_beside_another(database, leave_a_callback, "coroutine")

    assert info.status is JobStatus.COMPLETED
    assert job.result(timeout=0) == "done all the same"


def test_a_coroutine_that_cancels_itself_fails(database):
    def work():
        asyncio.current_task().cancel()
        return asyncio.sleep(5)

    info, _ = run_beside_another(database, work, "coroutine")

    assert info.status is JobStatus.FAILED
    assert "CancelledError" in info.error


def test_a_coroutine_that_stops_the_loop_ends_nothing_but_itself(database):
    async def work():
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)

    info, _ = run_beside_another(database, work, "coroutine")

    assert info.status.is_final


def test_a_task_that_a_coroutine_leaves_behind_does_not_keep_the_worker(database):
    async def work():
        work.task = asyncio.ensure_future(asyncio.sleep(3600))
        return "left"

    _, job = run_beside_another(database, work, "coroutine")

    assert job.result(timeout=0) == "left"
