"""Options that decide whether, when and how many jobs run, through the doors."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import (
    DuplicateJobError,
    EncodeError,
    InvalidOptionError,
    JobCancelledError,
    JobStatus,
    Limit,
    RateLimit,
    SettingsError,
    SQLiteJob,
    Worker,
    call,
    task,
)
from sqlite_job.events import JobsSettled, Limited
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.opening import locate, open_storage
from tests.doors.making import DEADLINE, drain, nothing, run_all, settings_of, wait_until


def times(customer, *, also=None):
    return customer


class Counter:
    """A job that counts how many of it run at once, and waits until `expected` do."""

    def __init__(self, expected):
        self.lock = threading.Lock()
        self.running = 0
        self.most = 0
        self.finished = []
        self.are_there = threading.Barrier(expected)

    def work(self, number):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.are_there.wait(DEADLINE)
        with self.lock:
            self.running -= 1
            self.finished.append(number)


def jobs_of(database, *functions, **knobs):
    settings = settings_of(database, *functions, **knobs)
    return SQLiteJob("default", settings), settings


# ---- expires


def test_a_job_that_expires_before_a_worker_comes_is_cancelled_with_the_reason(database):
    jobs, settings = jobs_of(database, nothing)
    late = jobs.with_options(expires=datetime.now(timezone.utc) - timedelta(seconds=1)).enqueue(nothing)
    in_time = jobs.with_options(expires=60).enqueue(nothing)

    run_all(settings, late, in_time)

    assert (late.status(), late.info().error) == (JobStatus.CANCELLED, "expired")
    assert in_time.status() is JobStatus.COMPLETED
    with pytest.raises(JobCancelledError, match="expired"):
        late.result()


@pytest.mark.parametrize("expires", [0, -1, "soon", datetime(2030, 1, 1)])  # noqa: DTZ001 - the point
def test_an_expiry_that_cannot_be_is_refused(database, expires):
    with pytest.raises(InvalidOptionError, match="expires"):
        SQLiteJob(database=database).with_options(expires=expires)


def test_an_expiry_before_the_start_is_refused(database):
    now = datetime.now(timezone.utc)
    options = {"run_at": now + timedelta(hours=2), "expires": now + timedelta(hours=1)}
    with pytest.raises(InvalidOptionError, match="it would never run"):
        SQLiteJob(database=database).with_options(**options).enqueue("nothing")


def test_a_span_counts_from_the_time_the_job_may_start(database):
    jobs, settings = jobs_of(database, nothing)
    job = jobs.with_options(delay=0.05, expires=30).enqueue(nothing)

    assert run_all(settings, job)[0].status is JobStatus.COMPLETED


# ---- unique


def test_the_same_call_twice_is_one_job(database):
    jobs, settings = jobs_of(database, task(times, unique=True))

    first = jobs.enqueue(times, {"a": 1, "b": [2]}, also={3, 4})
    again = jobs.enqueue(times, {"b": [2], "a": 1}, also={4, 3})
    other = jobs.enqueue(times, {"a": 1, "b": [2.0]}, also={3, 4})

    assert (again == first, other == first) == (True, False)
    assert drain(settings) == 2
    assert jobs.enqueue(times, {"a": 1, "b": [2]}, also={3, 4}) != first


def test_a_key_makes_different_calls_one_job(database):
    jobs = SQLiteJob(database=database)
    one = jobs.with_options(unique="report")

    assert one.enqueue("make", 1) == one.enqueue("make", 2) == one.enqueue("other")


def test_a_function_of_the_arguments_may_be_the_key(database):
    jobs, _ = jobs_of(database, task(times, unique=lambda customer, **_: customer))

    assert jobs.enqueue(times, 1) == jobs.enqueue(times, 1, also=2)
    assert jobs.enqueue(times, 1) != jobs.enqueue(times, 2)


def test_an_option_says_no_to_the_tasks_unique(database):
    jobs, _ = jobs_of(database, task(times, unique=True))

    assert jobs.enqueue(times, 1) != jobs.with_options(unique=False).enqueue(times, 1)


def test_many_at_once_meet_each_other(database):
    jobs, settings = jobs_of(database, task(times, unique=True))

    found = jobs.enqueue_many([call(times, number % 3) for number in range(9)])

    assert len(set(found)) == 3
    assert found[:3] == found[3:6] == found[6:]
    assert drain(settings) == 3


def test_threads_at_once_get_one_job(database):
    jobs = SQLiteJob(database=database).with_options(unique="k")
    found = []
    threads = [threading.Thread(target=lambda: found.append(jobs.enqueue("make"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert len(found) == 8
    assert len(set(found)) == 1


def test_awaiting_gets_the_existing_job_too(database):
    jobs = SQLiteJob(database=database).with_options(unique="k")

    async def enqueue_twice():
        return await jobs.aenqueue("make"), await jobs.aenqueue("make")

    first, second = asyncio.run(enqueue_twice())
    assert first == second


def test_raise_names_the_job_that_has_the_key(database):
    jobs = SQLiteJob(database=database).with_options(unique="k")
    job = jobs.enqueue("make")

    with pytest.raises(DuplicateJobError, match="'k'") as caught:
        jobs.with_options(on_conflict="raise").enqueue("make")
    assert caught.value.job_id == job


def test_replace_with_a_delay_is_a_debounce(database):
    jobs, settings = jobs_of(database, task(times, unique="typing"))
    debounced = jobs.with_options(delay=0.2, on_conflict="replace")

    found = [debounced.enqueue(times, letter) for letter in "abc"]

    assert len(set(found)) == 1
    assert run_all(settings, found[0])[0].result == "'c'"


def test_a_window_throttles(database):
    jobs, settings = jobs_of(database, task(times, unique="k", unique_for=3600))
    first = jobs.enqueue(times, 1)
    drain(settings)

    assert jobs.enqueue(times, 2) == first
    assert jobs.get_job_result(first) == 1


class Ring:
    def __init__(self):
        self.next = self


def test_what_cannot_be_compared_needs_a_key(database):
    jobs, _ = jobs_of(database, task(times, unique=True))
    endless = []
    endless.append(endless)

    with pytest.raises(EncodeError, match="give a key: unique="):
        jobs.enqueue(times, Ring())
    with pytest.raises(EncodeError, match="nested too deeply"):
        jobs.enqueue(times, endless)
    assert jobs.list_jobs() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unique": 3}, "unique key"),
        ({"unique": ""}, "unique key"),
        ({"unique_for": 0}, "unique_for is more than 0"),
        ({"on_conflict": "ignore"}, "'existing' or 'replace' or 'raise', not 'ignore'"),
        ({"group": ""}, "group"),
    ],
)
def test_options_that_cannot_be_are_refused(database, options, message):
    with pytest.raises(ValueError, match=message):
        SQLiteJob(database=database).with_options(**options)


# ---- limits


def test_so_many_run_at_once_and_no_more(database):
    counter = Counter(expected=3)
    limited = task(counter.work, name="work", concurrency=Limit(3))
    jobs, settings = jobs_of(database, limited, max_jobs=8)

    run_all(settings, *jobs.enqueue_many([call("work", number) for number in range(9)]))

    assert counter.most == 3
    assert sorted(counter.finished) == list(range(9))


def test_each_value_of_the_key_has_a_limit_of_its_own(database):
    counter = Counter(expected=2)
    limited = task(counter.work, name="work", concurrency=Limit(1, key=lambda number: number % 2))
    jobs, settings = jobs_of(database, limited, max_jobs=8)

    run_all(settings, *jobs.enqueue_many([call("work", number) for number in range(8)]))

    assert counter.most == 2
    assert [number for number in counter.finished if number % 2] == [1, 3, 5, 7]


def test_a_key_of_none_is_no_limit(database):
    counter = Counter(expected=4)
    jobs, settings = jobs_of(database, task(counter.work, name="work", concurrency=Limit(1, key=lambda _: None)))

    run_all(settings, *jobs.enqueue_many([call("work", number) for number in range(4)]))

    assert counter.most == 4


def test_a_job_that_does_not_know_of_its_limit_is_put_back_also_when_its_worker_has_died(database, caplog):
    unknowing = SQLiteJob("default", database=database)
    unknowing.enqueue("times", "a")
    storage = open_storage(locate(database), "full")
    dead = storage.register_worker(("default",), 0, 1)
    assert len(storage.exchange(dead, [], Wanted(("default",), ("times",), 1), 2).claimed) == 1
    assert len(storage.rescue(2, 3)) == 1
    _, settings = jobs_of(database, task(times, concurrency=Limit(1)))
    worker, outcomes = Worker("default", settings), []
    worker.subscribe(lambda event: outcomes.extend(type(outcome) for _, outcome in event.settled), JobsSettled)
    with worker.running_in_background():
        wait_until(lambda: outcomes)

    assert outcomes[0] is Limited
    assert "A subscriber failed" not in caplog.text


def test_a_group_is_a_sequence(database):
    order = []
    jobs, settings = jobs_of(database, task(order.append, name="note"))
    grouped = jobs.with_options(group="customer 1")

    run_all(settings, *[grouped.with_options(priority=number).enqueue("note", number) for number in range(20)])

    assert order == list(range(20))


def test_jobs_of_a_producer_without_the_settings_keep_the_workers_limit(database):
    counter = Counter(expected=2)
    settings = settings_of(database, task(counter.work, name="work", concurrency=Limit(2)), max_jobs=8)
    jobs = SQLiteJob(database=database)

    infos = run_all(settings, *jobs.enqueue_many([call("work", number) for number in range(8)]))

    assert counter.most == 2
    assert {info.tries for info in infos} == {1}


def test_a_rate_is_kept_and_costs_no_try(database):
    jobs, settings = jobs_of(database, task(nothing, rate_limit=RateLimit(2, per=0.5)))

    infos = run_all(settings, *jobs.enqueue_many([call(nothing) for _ in range(5)]))

    starts = sorted(info.started_at for info in infos)
    # A start counts when a worker takes the job, and the thread that runs it may come a little later.
    assert all((later - sooner).total_seconds() > 0.4 for sooner, later in zip(starts, starts[2:]))
    assert {info.tries for info in infos} == {1}


def test_jobs_of_a_producer_without_the_settings_keep_the_workers_rate(database):
    settings = settings_of(database, task(nothing, rate_limit=RateLimit(1, per=0.3)))
    jobs = SQLiteJob(database=database)

    infos = run_all(settings, *[jobs.enqueue("nothing") for _ in range(3)])

    starts = sorted(info.started_at for info in infos)
    assert (starts[2] - starts[0]).total_seconds() > 0.5


def test_a_burst_ends_when_only_the_rate_keeps_jobs_back(database):
    jobs, settings = jobs_of(database, task(nothing, rate_limit=RateLimit(2, per=3600)))
    jobs.enqueue_many([call(nothing) for _ in range(5)])

    assert Worker("default", settings).run(burst=True) == 2
    assert jobs.counts()[JobStatus.BLOCKED] == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limit(0), "from 1 to 1,000,000, not 0"),
        (lambda: Limit(True), "not True"),
        (lambda: Limit(1, key="customer"), "key is a function"),
        (lambda: RateLimit(1, per=0), "per is more than 0"),
        (lambda: RateLimit(1, per="minute"), "per: a duration"),
        (lambda: task(nothing, concurrency=3), r"concurrency is a Limit, as Limit\(3\)"),
        (lambda: task(nothing, rate_limit=3), "rate_limit is a RateLimit"),
        (lambda: task(nothing, unique=3), "unique is True, a key"),
        (lambda: task(nothing, unique_for=0), "unique_for is more than 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_limits_on_a_decorated_function_are_a_settings_error(database):
    with pytest.raises((SettingsError, ValueError), match="concurrency"):
        settings_of(database, task(concurrency="two")(nothing))


def test_a_key_that_fails_says_whose_it_is(database):
    jobs, _ = jobs_of(database, task(times, concurrency=Limit(1, key=lambda customer, **_: customer.name)))
    with pytest.raises(InvalidOptionError, match="the key of times's limit raised AttributeError"):
        jobs.enqueue(times, 1)
    assert jobs.list_jobs() == []
