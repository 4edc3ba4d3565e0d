"""Worker as a door: how it is made, what it runs, what it tells, and that it stops cleanly."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta

import pytest

from sqlite_job import InvalidNameError, JobStatus, SQLiteJob, Worker, WorkerSettings, call, current_job, task
from sqlite_job.core.events import FunctionUnknown, JobsClaimed, JobsSettled, WorkerStarted, WorkerStopped
from tests.doors.making import DEADLINE, drain, is_opened, own_threads, settings_of, wait_until


def echo(value=None):
    return value


async def echo_later(value=None):
    await asyncio.sleep(0)
    return value


@pytest.fixture
def settings(database):
    return settings_of(database, echo, echo_later)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)


# ---- how a worker is made --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("default",), ("default", None), (["a", "b"],)])
def test_a_worker_without_settings_is_a_type_error_that_says_so(arguments):
    with pytest.raises(
        TypeError, match=r"Worker needs settings: subclass WorkerSettings, and write Worker\('default', My"
    ):
        Worker(*arguments)


def test_a_worker_takes_an_instance_of_settings_not_the_class(settings):
    with pytest.raises(TypeError, match=r"Worker takes an instance of settings: write Settings\(\)"):
        Worker("default", type(settings))
    with pytest.raises(TypeError, match=r"Worker takes an instance of settings: write WorkerSettings\(\)"):
        Worker("default", WorkerSettings)


@pytest.mark.parametrize("not_settings", ["settings", {"functions": [echo]}, [echo], object])
def test_a_worker_refuses_what_are_no_settings_with_the_value(not_settings):
    with pytest.raises(TypeError, match="Worker takes an instance of WorkerSettings with your functions, not "):
        Worker("default", not_settings)


@pytest.mark.parametrize(
    ("queues", "mend"),
    [
        (["a", "b", "a"], r"one queue or several different ones, not \['a', 'b', 'a'\]"),
        ([], r"one queue or several different ones, not \[\]"),
        ("", "A queue name must not be empty"),
        (["a", "b\nc"], "A queue name must not contain control characters"),
        (["a" * 129], "A queue name may have 128 characters"),
        ([1], "A queue name must be text, not int: 1"),
        (b"default", "A queue name must be text"),
    ],
)
def test_queues_that_cannot_be_served_are_refused(settings, queues, mend):
    with pytest.raises(InvalidNameError, match=mend):
        Worker(queues, settings)


def test_making_a_worker_opens_nothing(settings, database):
    worker = Worker("default", settings)

    assert worker.queues == ("default",)
    assert worker.settings is settings
    assert not is_opened(database)


# ---- burst -----------------------------------------------------------------------------------------------------------


def test_a_burst_runs_what_is_ready_and_returns_how_many_that_were(jobs, settings):
    jobs.enqueue_many(call(function, n) for n in range(20) for function in (echo, echo_later))
    jobs.with_options(delay=3600).enqueue(echo)
    jobs.with_options(queue="other").enqueue(echo)

    assert drain(settings) == 40
    assert drain(settings) == 0
    assert jobs.counts()[JobStatus.COMPLETED] == 40


def test_a_burst_on_a_database_that_is_not_there_yet_runs_nothing(settings):
    assert drain(settings) == 0


def test_a_burst_runs_also_what_its_jobs_enqueue(database):
    def count_down(number):
        if number:
            SQLiteJob("default", settings).enqueue("count_down", number - 1)

    settings = settings_of(database, count_down)
    SQLiteJob("default", settings).enqueue("count_down", 5)

    assert drain(settings) == 6


def test_a_worker_may_run_again_and_again(jobs, settings):
    worker = Worker("default", settings)

    for number in range(3):
        job = jobs.enqueue("echo", number)
        assert worker.run(burst=True) == 1
        assert job.result(timeout=0) == number


def test_queues_are_served_in_strict_order(database):
    ran = []
    settings = settings_of(database, task(ran.append, name="note"), max_jobs=1)
    jobs = SQLiteJob("low", settings)
    for queue in ("low", "high", "low", "middle", "high"):
        jobs.with_options(queue=queue).enqueue("note", queue)

    assert drain(settings, ["high", "middle", "low"]) == 5
    assert ran == ["high", "high", "middle", "low", "low"]


def test_no_more_than_max_jobs_run_at_once_of_both_kinds_together(database):
    running, most, lock = [], [], threading.Lock()

    def enter():
        with lock:
            running.append(1)
            most.append(len(running))

    def leave():
        with lock:
            running.pop()

    def plain():
        enter()
        threading.Event().wait(0.002)
        leave()

    async def coroutine():
        enter()
        await asyncio.sleep(0.002)
        leave()

    settings = settings_of(database, plain, coroutine, max_jobs=3)
    SQLiteJob("default", settings).enqueue_many(call(name) for _ in range(30) for name in ("plain", "coroutine"))

    assert drain(settings) == 60
    assert max(most) <= 3


def test_a_job_of_a_function_the_worker_does_not_have_is_left_and_warned_of(database, settings, caplog):
    unknown = SQLiteJob(database=database).enqueue("ehco", 1)
    known = SQLiteJob(database=database).enqueue("echo", 1)

    with caplog.at_level(logging.WARNING, "sqlite_job"):
        assert drain(settings) == 1

    assert (unknown.status(), known.status()) == (JobStatus.PENDING, JobStatus.COMPLETED)
    assert "Jobs wait for a function 'ehco', which this worker does not have (did you mean 'echo'?)" in caplog.text
    assert drain(settings_of(database, task(echo, name="ehco"))) == 1


# ---- what a job is given ---------------------------------------------------------------------------------------------


def look():
    job = current_job()
    return job.id, job.queue, job.function, job.tries, job.max_tries, dict(job.state)


async def look_later():
    await asyncio.sleep(0)
    return look()


@pytest.mark.parametrize("function", [look, look_later])
def test_a_job_finds_itself_with_its_tries_and_state(database, function):
    def prepare(state):
        state.model = "big"

    settings = settings_of(database, function, max_tries=4, on_startup=prepare)
    name = function.__name__
    job = SQLiteJob("default", settings).enqueue(name)

    drain(settings)

    assert job.result(timeout=0) == (job, "default", name, 1, 4, {"model": "big"})


def test_coroutines_that_run_at_once_each_find_their_own_job(database):
    async def meet():
        mine = current_job().id
        for _ in range(10):
            await asyncio.sleep(0.001)
            assert current_job().id == mine
        return mine

    settings = settings_of(database, meet)
    made = SQLiteJob("default", settings).enqueue_many([call("meet")] * 10)

    drain(settings)

    assert [job.result(timeout=0) for job in made] == made


def test_a_plain_function_may_use_asyncio_and_a_coroutine_may_use_threads(database):
    def plain():
        return asyncio.run(echo_later("plain"))

    async def coroutine():
        return await asyncio.get_running_loop().run_in_executor(None, echo, "coroutine")

    settings = settings_of(database, plain, coroutine)
    made = SQLiteJob("default", settings).enqueue_many([call("plain"), call("coroutine")])

    drain(settings)

    assert [job.result(timeout=0) for job in made] == ["plain", "coroutine"]


# ---- events ----------------------------------------------------------------------------------------------------------


def test_a_subscriber_gets_the_events_of_the_worker_in_order(jobs, settings):
    job = jobs.enqueue("echo", 1)
    events = []
    worker = Worker("default", settings)
    worker.subscribe(events.append)

    worker.run(burst=True)

    assert [type(event) for event in events] == [WorkerStarted, JobsClaimed, JobsSettled, WorkerStopped]
    started, claimed, settled, stopped = events
    assert (started.queues, started.functions) == (("default",), ("echo", "echo_later"))
    assert [one.id for one in claimed.jobs] == [one.id for one, _ in settled.settled] == [job]
    assert (stopped.worker_id, stopped.jobs) == (started.worker_id, 1)


def test_a_subscriber_that_raises_does_not_stop_the_worker(jobs, settings, caplog):
    def broken(event):
        raise ValueError("out of order")

    made = [jobs.enqueue("echo", n) for n in range(3)]
    worker = Worker("default", settings)
    worker.subscribe(broken)

    assert worker.run(burst=True) == 3
    assert [job.result(timeout=0) for job in made] == [0, 1, 2]
    assert "A subscriber failed on JobsSettled" in caplog.text


def test_unknown_functions_are_told_once(database, settings):
    events = []
    SQLiteJob(database=database).enqueue("of_another_worker")
    SQLiteJob(database=database).enqueue("of_another_worker")
    worker = Worker("default", settings)
    worker.subscribe(events.append)

    worker.run(burst=True)

    assert [event.function for event in events if isinstance(event, FunctionUnknown)] == ["of_another_worker"]


# ---- in the background -----------------------------------------------------------------------------------------------


def test_a_worker_in_the_background_runs_jobs_as_they_come_and_leaves_no_thread_behind(jobs, settings):
    before = own_threads()

    with Worker("default", settings).running_in_background() as worker:
        assert isinstance(worker, Worker)
        for function in (echo, echo_later, echo):
            assert jobs.enqueue(function, "hello").result(timeout=DEADLINE) == "hello"
        assert own_threads() > before

    wait_until(lambda: own_threads() <= before)


def test_a_worker_in_the_background_may_be_started_again(jobs, settings):
    worker = Worker("default", settings)

    for number in range(3):
        with worker.running_in_background():
            assert jobs.enqueue("echo", number).result(timeout=DEADLINE) == number
    assert worker.run(burst=True) == 0


def test_an_error_in_the_block_is_raised_and_the_worker_is_stopped(settings):
    before = own_threads()

    with pytest.raises(KeyError, match="mine"), Worker("default", settings).running_in_background():
        raise KeyError("mine")

    wait_until(lambda: own_threads() <= before)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_an_error_at_startup_is_raised_and_the_block_does_not_run(database, kind):
    def fail(state):
        raise ConnectionError("no model")

    async def fail_later(state):
        fail(state)

    before = own_threads()
    hook = {"plain": fail, "coroutine": fail_later}[kind]
    settings = settings_of(database, echo, on_startup=hook)
    job = SQLiteJob("default", settings).enqueue("echo", 1)
    entered = []

    with pytest.raises(ConnectionError, match="no model"), Worker("default", settings).running_in_background():
        entered.append(1)

    assert entered == []
    assert (job.status(), job.info().tries) == (JobStatus.PENDING, 0)
    wait_until(lambda: own_threads() <= before)


def test_a_worker_that_could_not_start_starts_once_the_cause_is_gone(database):
    is_broken = [True]

    def prepare(state):
        if is_broken[0]:
            raise ConnectionError("not yet")

    settings = settings_of(database, echo, on_startup=prepare)
    job = SQLiteJob("default", settings).enqueue("echo", 1)
    worker = Worker("default", settings)
    with pytest.raises(ConnectionError), worker.running_in_background():
        pass
    is_broken[0] = False

    assert worker.run(burst=True) == 1
    assert job.result(timeout=0) == 1


def test_a_stop_from_another_thread_ends_run(settings):
    worker = Worker("default", settings)
    started = threading.Event()
    worker.subscribe(lambda event: started.set() if isinstance(event, WorkerStarted) else None)
    returned = []
    thread = threading.Thread(target=lambda: returned.append(worker.run()))
    thread.start()
    assert started.wait(DEADLINE)

    worker.stop()
    thread.join(DEADLINE)

    assert returned == [0]


def test_a_job_may_stop_its_own_worker_and_is_completed(database):
    def finish():
        worker.stop()
        return "done"

    settings = settings_of(database, finish, max_jobs=1)
    worker = Worker("default", settings)
    first, second = SQLiteJob("default", settings).enqueue_many([call("finish")] * 2)

    assert worker.run() == 1
    assert first.result(timeout=0) == "done"
    assert second.status() is JobStatus.PENDING


def test_durations_of_settings_may_be_timedeltas(database):
    settings = settings_of(database, echo, poll_delay=timedelta(seconds=5), shutdown_timeout=timedelta(seconds=1))
    job = SQLiteJob("default", settings).enqueue("echo", 1)

    assert drain(settings) == 1
    assert job.result(timeout=0) == 1
