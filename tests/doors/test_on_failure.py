"""on_failure: which failures it is told of, with what, where, and that it harms nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sqlite_job import Cancel, JobFailure, JobStatus, SQLiteJob, Worker, current_job, task
from sqlite_job.core.clock import SystemClock
from sqlite_job.engine import failure_reporter
from sqlite_job.storage.opening import open_storage
from tests.doors.making import DEADLINE, as_kind, drain, execute, kinds, run_all, settings_of, threads_named, wait_until


def fail(text="not today"):
    raise ValueError(text)


def make(hook, kind):
    async def later(job, failure):
        await asyncio.sleep(0)
        return hook(job, failure)

    return hook if kind == "plain" else later


hook_kinds = pytest.mark.parametrize("hook_kind", ["plain", "coroutine"])


@kinds
@hook_kinds
def test_it_is_called_with_the_jobs_context_and_the_failure(database, kind, hook_kind):
    told = []

    def tell(job, failure):
        told.append((job, failure, current_job().id, job.state.prepared))

    settings = settings_of(
        database,
        as_kind(fail, kind),
        on_startup=lambda state: state.update(prepared="yes"),
        on_failure=make(tell, hook_kind),
    )
    jobs = SQLiteJob("default", settings).with_options(tags=["a"], meta={"by": "ada"})
    handle = jobs.enqueue("work", "no luck")
    drain(settings)

    ((job, failure, current, prepared),) = told
    assert (job.id, job.function, job.queue, job.tries, job.max_tries) == (handle, "work", "default", 1, 1)
    assert (job.tags, job.meta, current, prepared) == (("a",), {"by": "ada"}, handle, "yes")
    assert isinstance(failure, JobFailure)
    assert failure == jobs.failures(handle)[-1]
    assert failure.summary == "ValueError: no luck"


def test_it_is_called_after_the_last_try_only(database):
    told = []
    settings = settings_of(
        database,
        task(fail, max_tries=3, backoff=None, retry_on=ValueError),
        on_failure=lambda job, failure: told.append(failure.try_number),
    )
    job = SQLiteJob("default", settings).enqueue(fail)
    for _ in range(3):
        drain(settings)
        execute(database, "UPDATE sqlitejob_job SET run_at = 1 WHERE status = 'scheduled'")

    assert (job.status(), told) == (JobStatus.FAILED, [3])


@kinds
def test_it_is_not_called_for_what_is_no_failure(database, kind):
    def end(how):
        if how == "cancel":
            raise Cancel("why not")
        return how

    told = []
    settings = settings_of(database, as_kind(end, kind), on_failure=lambda job, failure: told.append(job.id))
    jobs = SQLiteJob("default", settings)
    cancelled, completed = jobs.enqueue("work", "cancel"), jobs.enqueue("work", "complete")
    drain(settings)

    assert (cancelled.status(), completed.status()) == (JobStatus.CANCELLED, JobStatus.COMPLETED)
    assert told == []


@kinds
def test_it_is_called_for_a_timeout_and_for_arguments_that_cannot_be_decoded(database, kind):
    async def hang_later():
        await asyncio.sleep(DEADLINE)

    def hang():
        for _ in range(DEADLINE * 1000):
            threading.Event().wait(0.001)

    told = {}
    settings = settings_of(
        database,
        task(hang if kind == "plain" else hang_later, name="hang", timeout=0.1),
        as_kind(fail, kind),
        on_failure=lambda job, failure: told.update({job.id: failure.error_type}),
    )
    jobs = SQLiteJob("default", settings)
    hanging, broken = jobs.enqueue("hang"), jobs.enqueue("work")
    execute(database, "UPDATE sqlitejob_payload SET args = ? WHERE seq = 2", b"\0")
    run_all(settings, hanging, broken)

    assert told == {hanging: "JobTimeoutError", broken: "DecodeError"}


def test_it_is_called_for_a_job_whose_worker_died_too_often_by_the_worker_that_rescues(database):
    told = []

    def tell(job, failure):
        told.append((job.id, job.queue, job.function, job.tries, job.tags, job.meta, failure))

    jobs = SQLiteJob("elsewhere", database=database).with_options(tags=["a"], meta={"by": "ada"})
    handle = jobs.enqueue("of_another", 1)
    hold_as_a_dead_worker(database)
    settings = settings_of(database, fail, max_deaths=1, on_failure=tell)
    drain(settings)

    assert handle.status() is JobStatus.FAILED
    (failure,) = jobs.failures(handle)
    assert told == [(handle, "elsewhere", "of_another", 1, ("a",), {"by": "ada"}, failure)]
    assert failure.error_type == "WorkerDied"


def test_it_is_not_called_for_a_rescue_after_which_the_job_runs_again(database):
    told = []
    SQLiteJob("elsewhere", database=database).enqueue("of_another", 1)
    hold_as_a_dead_worker(database)
    drain(settings_of(database, fail, max_deaths=2, on_failure=lambda job, failure: told.append(job.id)))

    assert told == []
    assert execute(database, "SELECT status, deaths FROM sqlitejob_job") == [("pending", 1)]


def test_the_hook_of_a_function_goes_before_the_one_of_the_settings(database):
    told = []
    settings = settings_of(
        database,
        task(fail, name="mine", on_failure=lambda job, failure: told.append(f"own {job.function}")),
        task(fail, name="other"),
        on_failure=lambda job, failure: told.append(f"all {job.function}"),
    )
    jobs = SQLiteJob("default", settings)
    run_all(settings, jobs.enqueue("mine"), jobs.enqueue("other"))

    assert sorted(told) == ["all other", "own mine"]


def test_a_function_may_be_the_only_one_with_a_hook(database):
    told = []

    @task(on_failure=lambda job, failure: told.append(job.function))
    def watched():
        raise ValueError

    settings = settings_of(database, watched, fail)
    jobs = SQLiteJob("default", settings)
    run_all(settings, jobs.enqueue(watched), jobs.enqueue(fail))

    assert told == ["watched"]


@hook_kinds
@pytest.mark.parametrize("error", [ValueError("no answer"), SystemExit("no answer"), KeyboardInterrupt("no answer")])
def test_a_hook_that_raises_is_logged_and_the_next_one_is_called(database, hook_kind, error, caplog):
    told = []

    def tell(job, failure):
        told.append(job.id)
        raise error

    settings = settings_of(database, fail, on_failure=make(tell, hook_kind), max_jobs=1)
    jobs = SQLiteJob("default", settings)
    handles = [jobs.enqueue(fail), jobs.enqueue(fail)]
    infos = run_all(settings, *handles)

    assert told == handles
    assert [info.status for info in infos] == [JobStatus.FAILED] * 2
    assert caplog.text.count("on_failure failed for <JobContext") == 2


@hook_kinds
def test_a_slow_hook_holds_up_no_job(database, hook_kind):
    called, go_on = threading.Event(), threading.Event()

    def wait(job, failure):
        called.set()
        assert go_on.wait(DEADLINE)

    async def wait_later(job, failure):
        called.set()
        await asyncio.get_running_loop().run_in_executor(None, go_on.wait, DEADLINE)

    hook = wait if hook_kind == "plain" else wait_later
    functions = [fail, as_kind(lambda: 5, "plain"), as_kind(lambda: 6, "coroutine", "later")]
    settings = settings_of(database, *functions, on_failure=hook)
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        jobs.enqueue(fail)
        assert called.wait(DEADLINE)
        assert jobs.enqueue("work").result(DEADLINE) == 5
        assert jobs.enqueue("later").result(DEADLINE) == 6
        go_on.set()


def test_the_worker_waits_at_its_end_for_hooks_but_not_for_ever(database, caplog):
    go_on = threading.Event()
    settings = settings_of(
        database, fail, max_jobs=1, shutdown_timeout=0.2, on_failure=lambda job, failure: go_on.wait(DEADLINE)
    )
    jobs = SQLiteJob("default", settings)
    jobs.enqueue(fail)
    jobs.enqueue(fail)
    jobs.enqueue(fail)

    assert drain(settings) == 3
    assert "on_failure was not called for 2 failed jobs: it took too long" in caplog.text
    go_on.set()
    wait_until(lambda: not threads_named("sqlite-job-on-failure"))


def test_a_second_stop_waits_for_no_hook(database):
    called, go_on, stopped = threading.Event(), threading.Event(), threading.Event()

    def wait(job, failure):
        called.set()
        go_on.wait(DEADLINE)

    settings = settings_of(database, fail, shutdown_timeout=10 * DEADLINE, on_failure=wait)
    worker = Worker("default", settings)
    SQLiteJob("default", settings).enqueue(fail)

    def run():
        worker.run()
        stopped.set()

    threading.Thread(target=run, daemon=True).start()
    assert called.wait(DEADLINE)
    worker.stop()
    worker.stop()

    assert stopped.wait(DEADLINE)
    go_on.set()


def test_on_shutdown_is_called_after_the_last_on_failure(database):
    seen = []
    settings = settings_of(
        database,
        fail,
        on_failure=lambda job, failure: seen.append("failure"),
        on_shutdown=lambda state: seen.append("shutdown"),
    )
    SQLiteJob("default", settings).enqueue(fail)
    drain(settings)

    assert seen == ["failure", "shutdown"]


def test_failures_beyond_the_limit_are_left_out_and_counted(database, caplog, monkeypatch):
    monkeypatch.setattr(failure_reporter, "_MOST_WAITING", 2)
    called, told = threading.Event(), []

    def wait(job, failure):
        told.append(job.id)
        assert called.wait(DEADLINE)

    settings = settings_of(database, fail, max_jobs=1, shutdown_timeout=DEADLINE, on_failure=wait)
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        jobs.enqueue(fail)
        wait_until(lambda: told)
        handles = [jobs.enqueue(fail) for _ in range(4)]
        wait_until(lambda: all(job.status() is JobStatus.FAILED for job in handles))
        called.set()

    assert len(told) == 3
    assert "on_failure is too slow: it is left out while 2 failures wait for it" in caplog.text
    assert "on_failure was not called for 2 failed jobs" in caplog.text


def test_each_run_of_a_worker_tells_once(database):
    told = []
    settings = settings_of(database, fail, on_failure=lambda job, failure: told.append(job.id))
    jobs, worker = SQLiteJob("default", settings), Worker("default", settings)
    for _ in range(2):
        jobs.enqueue(fail)
        worker.run(burst=True)

    assert len(told) == 2


def test_nothing_is_started_where_nobody_asks(database):
    settings = settings_of(database, fail)
    job = SQLiteJob("default", settings).enqueue(fail)
    with Worker("default", settings).running_in_background():
        wait_until(lambda: job.status() is JobStatus.FAILED)
        assert threads_named("sqlite-job-on-failure") == []


def hold_as_a_dead_worker(database):
    """Claim what is pending as a worker of another time, that nobody knows any more."""
    storage = open_storage(str(database), "full")
    now = SystemClock().now()
    execute(
        database,
        "UPDATE sqlitejob_job SET status = 'running', worker_id = 999, tries = 1, claim_number = 1, started_at = ?",
        now,
    )
    storage.close()
