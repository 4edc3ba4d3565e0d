from __future__ import annotations

import asyncio
import threading

import pytest

from sqlite_job import (
    EncodeError,
    JobFailedError,
    JobStatus,
    SQLiteJob,
    UnknownFunctionError,
    WorkerSettings,
    call,
    connections,
    current_job,
    task,
)
from sqlite_job.testing import TooManyJobsError, drain, inline
from tests.testing import tasks
from tests.testing.tasks import Settings


@pytest.fixture(autouse=True)
def ran():
    tasks.ran.clear()
    return tasks.ran


def test_a_job_has_run_when_enqueue_returns(settings):
    with inline(settings) as jobs:
        job = jobs.enqueue(tasks.add, 1, b=2)

        assert job.status() is JobStatus.COMPLETED
        assert job.result(timeout=0) == 3
        assert jobs.get_job_result(job) == 3
        assert (job.info().arguments, job.info().result, job.info().tries) == ("1, b=2", "3", 1)


def test_it_runs_in_the_thread_that_enqueues(settings):
    with inline(settings) as jobs:
        assert jobs.enqueue(tasks.where).result(timeout=0)
        assert jobs.enqueue("where_in_a_process").result(timeout=0)


def test_whoever_enqueues_in_the_database_makes_it_run(settings, ran):
    with inline(settings):
        SQLiteJob("other", database=settings.location).enqueue("note", "by name, in another queue")
        SQLiteJob("default", Settings(settings.location)).enqueue("note_elsewhere", "by task")

    assert ran == ["by name, in another queue", "by task"]


def test_other_databases_are_left_alone(settings, other_database):
    other = SQLiteJob(database=other_database)
    with inline(settings):
        job = other.enqueue("add", 1)

        assert job.status() is JobStatus.PENDING
    other.close()


def test_two_databases_can_be_inline_at_once(settings, other_database):
    second = Settings(other_database)
    with inline(settings) as one, inline(second) as two:
        assert (one.enqueue(tasks.add, 1).result(timeout=0), two.enqueue(tasks.add, 2).result(timeout=0)) == (1, 2)
        two.close()


def test_after_the_block_a_job_waits_for_its_worker_again(settings, jobs):
    with inline(settings):
        assert connections.after_enqueue is not None

    assert connections.after_enqueue is None
    assert jobs.enqueue(tasks.add, 1).status() is JobStatus.PENDING


def test_all_calls_of_enqueue_many_run_in_their_order(settings, ran):
    with inline(settings) as jobs:
        found = jobs.enqueue_many([call(tasks.note, "a"), call(tasks.note, "b"), call(tasks.add, 1)])

        assert [job.result(timeout=0) for job in found] == [None, None, 1]
    assert ran == ["a", "b"]


def test_arguments_and_results_are_encoded_as_always(settings):
    class Json(WorkerSettings):
        functions = [tasks.add, task(threading.Lock, name="lock")]
        serializer = "json"

    with inline(Json(settings.location)) as jobs:
        assert jobs.enqueue(tasks.add, (1,), (2,)).result(timeout=0) == [1, 2]
        with pytest.raises(EncodeError):
            jobs.enqueue(tasks.add, threading.Lock())
        with pytest.raises(JobFailedError, match=r"the result of .* cannot be encoded"):
            jobs.enqueue("lock").result(timeout=0)
        with pytest.raises(UnknownFunctionError, match="did you mean 'add'"):
            jobs.enqueue("adt")


def test_jobs_of_jobs_run_inside_of_them_and_their_results_can_be_waited_for(settings, ran):
    with inline(settings) as jobs:
        whats = jobs.enqueue(tasks.enqueue_more, settings.location, "a", "b").result(timeout=0)

        assert [jobs.job(one).status() for one in whats] == ["completed", "completed"]
        assert jobs.enqueue(tasks.ask_for_a_result, settings.location, 2).result(timeout=0) == 3
    assert ran == ["a", "b"]


def test_what_is_due_later_waits_for_a_drain(settings):
    with inline(settings) as jobs:
        later, snoozed = jobs.with_options(delay=60).enqueue(tasks.add, 1), jobs.enqueue(tasks.snooze, 60)

        assert (later.status(), snoozed.status()) == ("scheduled", "scheduled")
        assert drain(settings).runs == 0


def test_a_job_knows_itself_and_the_state_of_the_block(settings):
    def look():
        job = current_job()
        job.state.calls += 1
        return job.id, job.tries, job.state.calls

    called = []

    class Own(WorkerSettings):
        functions = [look]
        on_startup = lambda state: called.append("startup") or state.update(calls=0)
        on_shutdown = lambda _state: called.append("shutdown")

    with inline(Own(settings.location)) as jobs:
        first, second = jobs.enqueue(look), jobs.enqueue(look)

        assert (first.result(timeout=0), second.result(timeout=0)) == ((first, 1, 1), (second, 1, 2))
    assert called == ["startup", "shutdown"]


# ---- failures


def test_a_failure_is_kept_and_raised_by_result(settings):
    with inline(settings) as jobs:
        job = jobs.enqueue(tasks.fail, "why")

        assert job.status() is JobStatus.FAILED
        with pytest.raises(JobFailedError, match="ValueError: why"):
            job.result(timeout=0)


def test_it_can_be_raised_by_enqueue(settings):
    with inline(settings, raise_errors=True) as jobs:
        with pytest.raises(JobFailedError, match="ValueError: why") as caught:
            jobs.enqueue(tasks.fail, "why")

        assert isinstance(caught.value.__cause__, ValueError)
        assert jobs.enqueue(tasks.cancel).status() is JobStatus.CANCELLED


def test_tries_follow_without_waiting(settings):
    with inline(settings, raise_errors=True) as jobs:
        job = jobs.enqueue(tasks.fail_until, 3)
        with pytest.raises(JobFailedError, match="ConnectionError: try 3"):
            jobs.enqueue(tasks.fail_until, 4)

        assert job.result(timeout=0) == 3
        assert [failure.message for failure in jobs.failures(job)] == ["try 1", "try 2"]


def test_an_interrupt_inside_a_job_comes_out_of_enqueue(settings):
    with inline(settings) as jobs, pytest.raises(KeyboardInterrupt):
        jobs.enqueue(tasks.leave)


# ---- coroutines


def test_a_coroutine_function_runs_too(settings):
    with inline(settings) as jobs:
        assert jobs.enqueue(tasks.add_later, 1, 2).result(timeout=0) == 3


def test_under_a_running_loop_enqueue_and_aenqueue_run_every_kind_of_job(settings):
    async def test(jobs):
        found = [jobs.enqueue(tasks.add_later, 1), jobs.enqueue(tasks.add, 2), jobs.enqueue(tasks.run_a_loop)]
        found += [await jobs.aenqueue(tasks.add_later, 4), await jobs.aenqueue(tasks.run_a_loop)]
        return [job.status() for job in found], [await job.aresult(timeout=0) for job in found]

    with inline(settings) as jobs:
        assert asyncio.run(test(jobs)) == (["completed"] * 5, [1, 2, 3, 4, 3])


def test_aenqueue_does_not_block_the_loop_while_the_job_runs(settings):
    def wait():
        return current_job().state.is_free.wait(20)

    class Own(WorkerSettings):
        functions = [wait]
        on_startup = lambda state: state.update(is_free=is_free)

    is_free = threading.Event()

    async def test(jobs):
        job, _ = await asyncio.gather(jobs.aenqueue(wait), asyncio.sleep(0, is_free.set()))
        return await job.aresult(timeout=0)

    with inline(Own(settings.location)) as jobs:
        assert asyncio.run(test(jobs)) is True


@pytest.mark.parametrize("function", [tasks.ask_for_a_coroutine, tasks.await_a_coroutine])
def test_coroutines_can_wait_for_coroutines_that_they_enqueue(settings, function):
    with inline(settings) as jobs:
        assert jobs.enqueue(function, settings.location, 8).result(timeout=0) == 8


def test_all_coroutines_of_a_block_find_the_loop_of_their_state(settings):
    async def has_loop():
        return current_job().state.loop is asyncio.get_running_loop()

    async def start(state):
        state.loop = asyncio.get_running_loop()

    async def enqueue_later():
        job = await SQLiteJob("default", Own(settings.location)).aenqueue(has_loop)
        return await job.aresult(timeout=10)

    class Own(WorkerSettings):
        functions = [has_loop, enqueue_later]
        on_startup = start

    async def test(jobs):
        return [await job.aresult(0) for job in (jobs.enqueue(has_loop), await jobs.aenqueue(has_loop))]

    with inline(Own(settings.location)) as jobs:
        assert jobs.enqueue(has_loop).result(timeout=0)
        assert asyncio.run(test(jobs)) == [True, True]
        assert jobs.enqueue(enqueue_later).result(timeout=0)


# ---- many at once, and no end


def test_of_many_threads_each_finds_its_own_job_done(settings):
    def enqueue():
        job = jobs.enqueue(tasks.add, 1)
        statuses.append(job.status())

    statuses = []
    with inline(settings) as jobs:
        threads = [threading.Thread(target=lambda: [enqueue() for _ in range(5)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert statuses == ["completed"] * 20


def test_an_id_of_ones_own_does_not_make_a_job_wait_for_itself(settings):
    def enqueue_again():
        jobs.with_options(job_id="mine").enqueue(enqueue_again)
        return "once"

    class Own(WorkerSettings):
        functions = [enqueue_again]

    with inline(Own(settings.location)) as jobs:
        assert jobs.with_options(job_id="mine").enqueue(enqueue_again).result(timeout=0) == "once"


@pytest.mark.parametrize("function", [tasks.ask_for_itself, tasks.await_itself])
def test_jobs_without_an_end_are_an_error(settings, function):
    with inline(settings) as jobs:
        with pytest.raises(
            TooManyJobsError, match=r"inside of one another 20 deep; does a job enqueue itself.*\(20\)$"
        ):
            jobs.enqueue(function, settings.location)

        for job in jobs.list_jobs(status="pending"):
            jobs.delete(job.id)
        assert jobs.enqueue(tasks.add, 1).result(timeout=0) == 1


def test_what_is_not_settings_is_an_error_with_the_mend():
    with pytest.raises(TypeError, match=r"write Settings\(\)"), inline(Settings):
        pass
