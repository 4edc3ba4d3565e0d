from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import (
    InvalidNameError,
    InvalidOptionError,
    JobFailedError,
    JobStatus,
    SQLiteJob,
    Worker,
    WorkerSettings,
    task,
)
from sqlite_job.core.events import JobsSettled
from sqlite_job.testing import TooManyJobsError, drain, fake_time
from tests.testing import tasks
from tests.testing.tasks import Settings

START = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def ran():
    tasks.ran.clear()
    return tasks.ran


def test_a_drain_runs_what_is_ready_and_says_what_ran(jobs, settings):
    one, two, three = jobs.enqueue(tasks.add, 1, 2), jobs.enqueue(tasks.add_later, 3, 4), jobs.enqueue(tasks.cancel)

    drained = drain(settings)

    assert [job.id for job in drained.jobs] == [one, two, three]
    assert (one.result(timeout=0), two.result(timeout=0)) == (3, 7)
    assert drained.runs == 3
    assert drained.counts == {JobStatus.COMPLETED: 2, JobStatus.CANCELLED: 1} == {"completed": 2, "cancelled": 1}
    assert [job.id for job in drained.completed] == [one, two]
    assert drained.failed == ()


def test_a_drain_of_nothing_ran_nothing(settings):
    drained = drain(settings)

    assert (drained.jobs, drained.runs, drained.counts) == ((), 0, {})


def test_jobs_run_in_the_thread_that_drains(jobs, settings):
    job, in_a_process = jobs.enqueue(tasks.where), jobs.enqueue("where_in_a_process")

    drain(settings)

    assert job.result(timeout=0)
    assert in_a_process.result(timeout=0)


def test_jobs_that_jobs_enqueue_run_too_one_after_the_other(jobs, settings, ran):
    jobs.enqueue(tasks.enqueue_more, settings.location, "a", "b")
    jobs.with_options(priority=-1).enqueue(tasks.note, "last")
    jobs.enqueue(tasks.note, "before")

    assert drain(settings).runs == 5
    assert ran == ["before", "a", "b", "last"]


def test_a_more_urgent_job_that_a_job_enqueues_is_next(settings, ran):
    def enqueue_urgent():
        jobs.with_options(priority=1).enqueue("note", "urgent")

    class Own(WorkerSettings):
        functions = [enqueue_urgent, tasks.note]

    jobs = SQLiteJob("default", Own(settings.location))
    jobs.enqueue(enqueue_urgent)
    jobs.enqueue(tasks.note, "patient")

    drain(Own(settings.location))

    assert ran == ["urgent", "patient"]


def test_a_job_finds_the_others_pending(settings):
    def look():
        return [info.status.value for info in jobs.list_jobs()]

    class Own(WorkerSettings):
        functions = [look]

    jobs = SQLiteJob("default", Own(settings.location))
    first, _ = jobs.enqueue(look), jobs.enqueue(look)

    drain(Own(settings.location))

    assert first.result(timeout=0) == ["pending", "running"]


def test_all_queues_are_drained_or_those_that_are_named(jobs, settings, ran):
    def enqueue_all():
        for queue in ("a", "b", "default"):
            jobs.with_options(queue=queue).enqueue(tasks.note, queue)

    enqueue_all()
    assert drain(settings, "b").runs == 1
    assert drain(settings, ["default", "a"]).runs == 2
    enqueue_all()
    assert drain(settings).runs == 3

    assert ran == ["b", "default", "a", "a", "b", "default"]


def test_a_queue_that_a_job_enqueues_to_first_is_drained(settings, ran):
    def enqueue_elsewhere():
        jobs.enqueue("note_elsewhere", "there")

    class Own(Settings):
        functions = [*Settings.functions, enqueue_elsewhere]

    jobs = SQLiteJob("default", Own(settings.location))
    jobs.enqueue(enqueue_elsewhere)

    assert drain(Own(settings.location)).runs == 2
    assert ran == ["there"]


def test_a_worker_is_drained_as_it_was_set_up(jobs, settings):
    worker, settled = Worker("other", settings), []
    worker.subscribe(lambda event: settled.append(event) if isinstance(event, JobsSettled) else None)
    mine = jobs.with_options(queue="other").enqueue(tasks.add, 1)
    jobs.enqueue(tasks.add, 2)

    drained = drain(worker)

    assert [job.id for job in drained.jobs] == [mine]
    assert [job.id for event in settled for job, _ in event.settled] == [mine]
    assert drain(worker, "default").runs == 1


def test_functions_that_the_settings_do_not_list_stay_pending(settings):
    job = SQLiteJob(database=settings.location).enqueue("unheard_of")

    assert drain(settings).runs == 0
    assert job.status() is JobStatus.PENDING


def test_hooks_are_called_once_for_a_drain(database):
    called = []

    async def start(state):
        called.append("startup")
        state.loop = asyncio.get_running_loop()

    async def same_loop():
        from sqlite_job import current_job

        return current_job().state.loop is asyncio.get_running_loop()

    class Hooked(WorkerSettings):
        functions = [same_loop]
        on_startup = start
        on_shutdown = lambda _state: called.append("shutdown")
        on_job_start = lambda job: called.append(job.function)

    settings = Hooked(database)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue(same_loop)
    jobs.with_options(delay=60).enqueue(same_loop)

    drain(settings, include_scheduled=True)

    assert called == ["startup", "same_loop", "same_loop", "shutdown"]
    assert job.result(timeout=0)
    jobs.close()


# ---- later


def test_what_is_due_later_stays_scheduled(jobs, settings):
    job = jobs.with_options(delay=60).enqueue(tasks.add, 1)
    failing = jobs.enqueue(tasks.fail_until, 3)

    drained = drain(settings)

    assert drained.counts == {"scheduled": 1}
    assert (job.status(), failing.status()) == ("scheduled", "scheduled")


def test_with_include_scheduled_everything_runs_in_the_order_of_its_time(jobs, settings, ran):
    jobs.with_options(delay=timedelta(days=3)).enqueue(tasks.note, "in three days")
    jobs.with_options(delay=60).enqueue(tasks.note, "in a minute")
    failing = jobs.enqueue(tasks.fail_until, 3)
    before = datetime.now(timezone.utc)

    drained = drain(settings, include_scheduled=True)

    assert ran == ["in a minute", "in three days"]
    assert (failing.result(timeout=0), drained.runs, drained.counts) == (3, 5, {"completed": 3})
    assert failing.info().finished_at >= before + timedelta(seconds=1800)
    assert jobs.enqueue(tasks.add, 1).info().created_at < before + timedelta(seconds=600)


def test_the_clock_of_a_test_goes_on_with_the_jobs(jobs, settings):
    with fake_time(START) as clock:
        jobs.with_options(delay=timedelta(days=3)).enqueue(tasks.add, 1)
        drain(settings, include_scheduled=True)

        assert clock.now() == START + timedelta(days=3)


def test_other_queues_keep_the_drain_from_nothing(jobs, settings):
    jobs.with_options(queue="other", delay=60).enqueue(tasks.add, 1)
    mine = jobs.with_options(delay=120).enqueue(tasks.add, 1)

    assert drain(settings, "default", include_scheduled=True).runs == 1
    assert mine.status() is JobStatus.COMPLETED
    assert drain(settings, "default", include_scheduled=True).runs == 0


def test_an_unknown_function_that_is_scheduled_does_not_keep_the_drain_busy(settings):
    SQLiteJob(database=settings.location).with_options(delay=60).enqueue("unheard_of")

    assert drain(settings, include_scheduled=True).runs == 0


# ---- failures


def test_failures_are_counted_and_not_raised(jobs, settings):
    job = jobs.enqueue(tasks.fail)

    drained = drain(settings)

    assert [failed.id for failed in drained.failed] == [job]
    assert drained.failed[0].error == "ValueError: no"


def test_raise_errors_raises_the_first_with_its_cause_when_all_is_done(jobs, settings):
    first, _ = jobs.enqueue(tasks.fail, "first"), jobs.enqueue(tasks.fail, "second")
    after = jobs.enqueue(tasks.add, 1)

    with pytest.raises(JobFailedError, match="ValueError: first") as caught:
        drain(settings, raise_errors=True)

    assert caught.value.job_id == first
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__.args == ("first",)
    assert after.status() is JobStatus.COMPLETED


def test_raise_errors_raises_for_a_try_that_failed_though_another_is_to_come(jobs, settings):
    jobs.enqueue(tasks.fail_until, 3)

    with pytest.raises(JobFailedError, match="ConnectionError: try 1"):
        drain(settings, raise_errors=True)


def test_raise_errors_lets_pass_what_ended_well(jobs, settings):
    jobs.enqueue(tasks.fail_until, 3)
    jobs.enqueue(tasks.cancel)

    assert drain(settings, raise_errors=True, include_scheduled=True).counts == {"completed": 1, "cancelled": 1}


def test_raise_errors_lets_pass_what_only_waits(jobs, settings):
    jobs.enqueue(tasks.snooze, 60)

    assert drain(settings, raise_errors=True).counts == {"scheduled": 1}


def test_arguments_that_do_not_decode_fail_the_job_only(settings):
    class Elsewhere(Settings):
        accept = ("json",)
        serializer = "json"

    job = SQLiteJob("default", settings).enqueue(tasks.add, 1)

    with pytest.raises(JobFailedError, match="not accepted here"):
        drain(Elsewhere(settings.location), raise_errors=True)
    assert job.status() is JobStatus.FAILED


# ---- no end


def test_jobs_without_an_end_are_an_error_that_names_them(jobs, settings):
    jobs.enqueue(tasks.add, 1)
    jobs.enqueue(tasks.ask_for_itself, settings.location)

    with pytest.raises(
        TooManyJobsError, match=r"^max_jobs=20 jobs have run, .* ask_for_itself \(19\), add \(1\)$"
    ) as caught:
        drain(settings, max_jobs=20)

    assert caught.value.functions == {"ask_for_itself": 19, "add": 1}
    assert jobs.counts() == {**dict.fromkeys(JobStatus, 0), "completed": 20, "pending": 1}


def test_a_job_that_snoozes_for_ever_is_without_an_end_too(jobs, settings):
    jobs.enqueue(tasks.snooze, 60)

    with pytest.raises(TooManyJobsError, match=r"snooze \(10\)$"):
        drain(settings, max_jobs=10, include_scheduled=True)


def test_exactly_max_jobs_may_run(jobs, settings):
    for _ in range(3):
        jobs.enqueue(tasks.add, 1)

    assert drain(settings, max_jobs=3).runs == 3


# ---- what is not a job's


def test_an_interrupt_inside_a_job_ends_the_drain(jobs, settings):
    job, after = jobs.enqueue(tasks.leave), jobs.enqueue(tasks.add, 1)

    with pytest.raises(KeyboardInterrupt):
        drain(settings)

    assert (job.status(), after.status()) == (JobStatus.FAILED, JobStatus.PENDING)


def test_a_job_may_fail_its_test(settings):
    class Own(WorkerSettings):
        functions = [task(pytest.fail, name="fail")]

    SQLiteJob("default", Own(settings.location)).enqueue("fail", "seen from inside")

    with pytest.raises(pytest.fail.Exception, match="seen from inside"):
        drain(Own(settings.location))


def test_a_drain_inside_a_coroutine_lets_jobs_run_loops_of_their_own(jobs, settings):
    plain, coroutine = jobs.enqueue(tasks.run_a_loop), jobs.enqueue(tasks.add_later, 3)

    async def test():
        return drain(settings).runs

    assert asyncio.run(test()) == 2
    assert (plain.result(timeout=0), coroutine.result(timeout=0)) == (3, 3)


def test_a_drain_leaves_no_worker_and_no_thread(jobs, settings):
    import threading

    from sqlite_job import Inspector

    jobs.enqueue(tasks.add_later, 1)
    drain(settings)

    assert Inspector(settings.location).workers() == []
    assert [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-job-loop")] == []


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None])
def test_max_jobs_is_a_whole_number(settings, wrong):
    with pytest.raises(InvalidOptionError, match="max_jobs is a whole number from 1"):
        drain(settings, max_jobs=wrong)


def test_what_cannot_be_drained_is_an_error_with_the_mend(settings, jobs):
    with pytest.raises(TypeError, match=r"write Settings\(\)"):
        drain(Settings)
    with pytest.raises(TypeError, match="drain takes an instance of WorkerSettings"):
        drain(jobs)
    with pytest.raises(InvalidNameError):
        drain(settings, [])
