"""What settings say of middleware, subscribers and on_failure that cannot work."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager

import pytest

from sqlite_job import Middleware, SettingsError, WorkerSettings, task


def add(a, b):
    return a + b


async def add_later(a, b):
    return a + b


@contextmanager
def around(job):
    yield


@contextmanager
def around_two(job, proceed):
    yield


@asynccontextmanager
async def around_later(job):
    yield


def generate(job):
    yield


async def later(job):
    pass


async def later_failure(job, failure):
    pass


class Both(Middleware):
    def enqueue(self, job):
        pass

    def run(self, job, proceed):
        return proceed()

    async def run_async(self, job, proceed):
        return await proceed()


class RunOnly(Middleware):
    def run(self, job, proceed):
        return proceed()


class AsyncOnly(Middleware):
    async def run_async(self, job, proceed):
        return await proceed()


class AsyncRun(Middleware):
    async def run(self, job, proceed):
        return await proceed()


class PlainRunAsync(Middleware):
    def run_async(self, job, proceed):
        return proceed()


class AsyncEnqueue(Middleware):
    async def enqueue(self, job):
        pass


class OldRun(Both):
    def run(self, proceed):
        return proceed()


class EnqueueOfTwo(Middleware):
    def enqueue(self, job, proceed):
        return proceed()


class Entered:
    def __init__(self, job):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def make(**attributes):
    return type("Settings", (WorkerSettings,), {"functions": [add], **attributes})()


def problems_of(**attributes):
    with pytest.raises(SettingsError) as caught:
        make(**attributes)
    return caught.value.problems


@pytest.mark.parametrize(
    ("middleware", "mend"),
    [
        (Both(), "middleware is a list of Middleware objects and functions, not <"),
        ("Both", "middleware is a list of Middleware objects and functions, not 'Both'"),
        (None, "middleware is a list of Middleware objects and functions, not None"),
        ([Both], "middleware has the class Both; give an instance: Both()"),
        (["around"], "middleware has 'around', which is neither a Middleware nor a function"),
        ([None], "middleware has None, which is neither a Middleware nor a function"),
        ([generate], "a generator function; write @contextmanager above it"),
        ([later], "which is asynchronous; derive from Middleware and write run_async"),
        ([around_later], "which is asynchronous; derive from Middleware and write run_async"),
        ([around_two], "which is called with the job alone, to return a context manager: missing a required argument"),
        ([object], "which is called with the job alone, to return a context manager: "),
        ([AsyncRun()], "middleware: AsyncRun.run must be written with def, not async def"),
        ([PlainRunAsync()], "middleware: PlainRunAsync.run_async must be written with async def"),
        ([AsyncEnqueue()], "middleware: AsyncEnqueue.enqueue must be written with def, not async def"),
        ([OldRun()], "middleware: OldRun.run is called with (job, proceed), which it does not take: too many"),
        ([EnqueueOfTwo()], "middleware: EnqueueOfTwo.enqueue is called with (job), which it does not take: missing"),
    ],
)
def test_middleware_that_cannot_work_is_refused_with_the_value_and_the_mend(middleware, mend):
    assert mend in problems_of(middleware=middleware)[0]


@pytest.mark.parametrize(
    ("functions", "middleware", "mend"),
    [
        ([add, add_later], RunOnly(), "RunOnly has run only, and would leave out 'add_later', a coroutine function"),
        ([add_later, task(add, name="sum")], AsyncOnly(), "AsyncOnly has run_async only, and would leave out 'sum', a"),
    ],
)
def test_middleware_that_would_leave_out_functions_in_silence_is_refused(functions, middleware, mend):
    (problem,) = problems_of(functions=functions, middleware=[middleware])

    assert mend in problem


@pytest.mark.parametrize("functions", ["add", None, [], ["add"], [lambda: None]])
def test_wrong_functions_are_reported_beside_middleware(functions):
    problems = problems_of(functions=functions, middleware=[RunOnly(), Both])

    assert any(problem.startswith("functions ") for problem in problems)
    assert "middleware has the class Both; give an instance: Both()" in problems


@pytest.mark.parametrize(
    ("functions", "middleware"),
    [
        ([add, add_later], [Both(), around, Entered]),
        ([add, add_later], (Both(),)),
        ([add], [RunOnly()]),
        ([add_later], [AsyncOnly()]),
        ([add, add_later], [Middleware()]),
        ([add], [lambda job: Entered(job.id)]),
    ],
)
def test_middleware_that_can_work_is_taken(functions, middleware):
    assert make(functions=functions, middleware=middleware).middleware == middleware


# ---- on_failure and subscribers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "mend"),
    [
        ({"on_failure": "tell"}, "on_failure is a function, not 'tell'"),
        ({"on_failure": lambda job: None}, "on_failure is called with (job, failure), which <function"),
        ({"functions": [task(add)], "on_failure": 5}, "on_failure is a function, not 5"),
        ({"subscribers": print}, "subscribers is a list of functions that take an event, not <built-in"),
        ({"subscribers": ["print"]}, "subscribers has 'print', which is not a plain function of an event"),
        ({"subscribers": [later]}, "which is not a plain function of an event"),
        ({"subscribers": [add]}, "which is called with an event alone: missing a required argument"),
    ],
)
def test_hooks_that_cannot_work_are_refused_with_the_value_and_the_mend(attributes, mend):
    (problem,) = problems_of(**attributes)

    assert mend in problem


def test_on_failure_of_one_function_is_checked_by_task():
    with pytest.raises(ValueError, match="on_failure is a function, not 'tell'"):
        task(add, on_failure="tell")
    with pytest.raises(ValueError, match=r"on_failure is called with \(job, failure\), which"):
        task(on_failure=lambda: None)


def test_on_failure_may_be_a_method_and_a_coroutine_function():
    class Settings(WorkerSettings):
        functions = [task(add, on_failure=later_failure)]

        def on_failure(self, job, failure):
            return "mine"

    settings = Settings()

    assert settings.hooks["on_failure"]("job", "failure") == "mine"
    assert settings.registry.tasks["add"].on_failure is later_failure
