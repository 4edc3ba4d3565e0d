"""SQLiteJob as the door of whoever has work to do: enqueue, one job or many, plain or async."""

from __future__ import annotations

import asyncio
import pickle
import threading

import pytest

from sqlite_job import (
    EncodeError,
    InvalidNameError,
    InvalidOptionError,
    JobStatus,
    PayloadTooLargeError,
    SQLiteJob,
    UnknownFunctionError,
    call,
    task,
)
from tests.doors.making import count_jobs, drain, execute, settings_of


def add(a, b=0):
    return a + b


async def multiply(a, b):
    return a * b


@pytest.fixture
def settings(database):
    return settings_of(database, add, task(multiply, queue="slow", priority=3))


@pytest.fixture
def knowing(settings):
    """A door that knows the settings."""
    return SQLiteJob("default", settings)


# ---- what becomes of a call ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["add", add, task(add), task(lambda: None, name="add")])
def test_a_call_by_name_by_function_or_by_task_is_stored_under_the_functions_name(jobs, function):
    job = jobs.enqueue(function, 1, b=2)

    info = jobs.get_job(job)
    assert (info.function, info.queue, info.status) == ("add", "default", JobStatus.PENDING)
    assert (info.arguments, info.priority, info.tries, info.tags, info.meta) == ("1, b=2", 0, 0, (), {})


@pytest.mark.parametrize("function", ["add", add, task(add), multiply, "multiply"])
def test_a_call_that_the_settings_know_runs_from_end_to_end(knowing, settings, function):
    job = knowing.enqueue(function, 6, 7)

    assert drain(settings, ["default", "slow"]) == 1
    assert knowing.get_job_result(job) in (13, 42)
    assert job.status() is JobStatus.COMPLETED


def test_the_queue_and_priority_of_a_task_are_used_with_settings_and_without(knowing, jobs):
    of_settings = knowing.enqueue("multiply", 1, 2).info()
    of_task = jobs.enqueue(task(add, queue="fast", priority=9), 1, 2).info()

    assert (of_settings.queue, of_settings.priority) == ("slow", 3)
    assert (of_task.queue, of_task.priority) == ("fast", 9)


def test_keyword_arguments_belong_to_the_function_whatever_their_names(database):
    def report(self, function, queue, args, kwargs):
        return [self, function, queue, args, kwargs]

    settings = settings_of(database, report)
    jobs = SQLiteJob("default", settings)

    job = jobs.enqueue("report", self=1, function=2, queue=3, args=4, kwargs=5)

    drain(settings)
    assert job.result(timeout=0) == [1, 2, 3, 4, 5]


def test_arguments_are_as_they_were_when_enqueued(knowing, settings):
    numbers = [1]
    job = knowing.enqueue(add, numbers, [2])

    numbers.append(99)

    drain(settings)
    assert job.result(timeout=0) == [1, 2]


def test_one_door_serves_many_functions_in_turn(jobs):
    made = [jobs.enqueue(function, 1).info().function for function in ("add", multiply, "add", add, multiply, "mul")]

    assert made == ["add", "multiply", "add", "add", "multiply", "mul"]


def test_threads_may_share_a_door(jobs):
    start = threading.Barrier(8)
    made = [[] for _ in range(8)]

    def enqueue_some(number):
        start.wait(10)
        made[number].extend(jobs.enqueue("add", number, n) for n in range(20))

    threads = [threading.Thread(target=enqueue_some, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert jobs.counts()[JobStatus.PENDING] == 160
    assert len({job for mine in made for job in mine}) == 160
    assert jobs.get_job(made[3][7]).arguments == "3, 7"


@pytest.mark.parametrize("function", ["add", add])
def test_aenqueue_does_as_enqueue(knowing, settings, function):
    async def produce():
        return await asyncio.gather(*[knowing.aenqueue(function, n, b=n) for n in range(20)])

    made = asyncio.run(produce())

    assert len(set(made)) == 20
    drain(settings)
    assert [job.result(timeout=0) for job in made] == [2 * n for n in range(20)]


# ---- what is refused, and stores nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["ad", lambda: None, len, task(add, name="plus"), task(max, name="add")])
def test_a_function_that_the_settings_do_not_list_is_refused(knowing, database, function):
    with pytest.raises(UnknownFunctionError, match=r"add it to Settings\.functions"):
        knowing.enqueue(function, 1)
    assert count_jobs(database) == 0


def test_a_name_that_is_nearly_right_brings_the_right_one_to_mind(knowing):
    with pytest.raises(UnknownFunctionError, match=r"No function named 'multiplyy'.*\(did you mean 'multiply'\?\)"):
        knowing.enqueue("multiplyy", 1, 2)


def test_without_settings_any_name_is_stored_and_waits_for_a_worker_that_knows_it(jobs, settings):
    job = jobs.enqueue("of_the_next_release", 1)

    assert drain(settings) == 0
    assert job.status() is JobStatus.PENDING


@pytest.mark.parametrize(
    ("function", "mend"),
    [
        ("", "A function name must not be empty"),
        ("a" * 129, "A function name may have 128 characters"),
        ("a\nb", "A function name must not contain control characters"),
        (5, "enqueue takes a function or its name, not 5"),
        (None, "enqueue takes a function or its name, not None"),
        (lambda: None, "has no name to enqueue it by; name it: task"),
    ],
)
def test_without_settings_what_cannot_be_a_function_is_refused(jobs, function, mend):
    with pytest.raises(InvalidNameError, match=mend):
        jobs.enqueue(function)
    assert sum(jobs.counts().values()) == 0


@pytest.mark.parametrize(
    "argument", [lambda: None, threading.Lock(), (n for n in ())], ids=["lambda", "lock", "generator"]
)
def test_arguments_that_cannot_be_encoded_are_refused_where_they_are_given(jobs, argument):
    with pytest.raises(EncodeError, match="the arguments of add cannot be encoded with 'pickle'"):
        jobs.enqueue("add", argument)
    with pytest.raises(EncodeError, match="the arguments of add"):
        jobs.enqueue("add", b=argument)
    with pytest.raises(EncodeError, match="the arguments of add"):
        asyncio.run(jobs.aenqueue("add", argument))
    assert sum(jobs.counts().values()) == 0


def test_arguments_over_the_limit_are_refused_with_size_and_limit(jobs):
    with pytest.raises(
        PayloadTooLargeError, match=r"the arguments of add takes? 1,000,\d\d\d bytes, over the limit of 1,000,000"
    ) as caught:
        jobs.enqueue("add", b"x" * 1_000_000)
    assert caught.value.limit == 1_000_000
    assert caught.value.size > 1_000_000
    assert sum(jobs.counts().values()) == 0


def test_the_limit_of_the_settings_holds_to_the_byte(database):
    size = len(pickle.dumps(((b"x" * 100,), {}), 5))
    enough, too_little = (settings_of(database, add, max_payload=limit) for limit in (size, size - 1))

    SQLiteJob("default", enough).enqueue("add", b"x" * 100)
    with pytest.raises(PayloadTooLargeError, match=f"over the limit of {size - 1}"):
        SQLiteJob("default", too_little).enqueue("add", b"x" * 100)
    assert count_jobs(database) == 1


@pytest.mark.parametrize(
    "argument", [{"\ud800": 1}, {"x" * 1000: 1}, {"a\nb": 1}], ids=["surrogate", "long", "line break"]
)
def test_odd_names_of_keyword_arguments_are_stored_like_any_other(jobs, argument):
    job = jobs.enqueue("add", **argument)

    assert len(job.info().arguments) <= 200


# ---- many at once ----------------------------------------------------------------------------------------------------


def test_many_calls_are_stored_in_their_order_and_returned_in_it(knowing, settings):
    made = knowing.enqueue_many([call(add, 1, 2), call("multiply", 3, b=4), call(task(add), 5)])

    assert [job.info().function for job in made] == ["add", "multiply", "add"]
    assert made == sorted(made)
    assert [info.id for info in knowing.list_jobs()] == made[::-1]
    drain(settings, ["default", "slow"])
    assert [job.result(timeout=0) for job in made] == [3, 12, 5]


def test_many_calls_may_come_from_a_generator(jobs):
    made = jobs.enqueue_many(call("add", n) for n in range(3000))

    assert jobs.counts()[JobStatus.PENDING] == 3000
    assert jobs.get_job(made[1234]).arguments == "1234"


def test_no_calls_are_no_jobs(jobs):
    assert jobs.enqueue_many([]) == []
    assert jobs.enqueue_many(iter(())) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (call("add", lambda: None), EncodeError),
        (call("add", b"x" * 2_000_000), PayloadTooLargeError),
        (call("ad"), UnknownFunctionError),
    ],
)
def test_of_many_calls_all_or_none_are_stored(knowing, database, wrong, error):
    with pytest.raises(error):
        knowing.enqueue_many([call("add", 1), call("add", 2), wrong])
    assert count_jobs(database) == 0


def test_a_generator_that_breaks_half_way_has_stored_nothing(jobs):
    def calls():
        yield call("add", 1)
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        jobs.enqueue_many(calls())
    assert sum(jobs.counts().values()) == 0


def test_many_jobs_cannot_have_one_id(jobs):
    with pytest.raises(InvalidOptionError, match="job_id names one job; give enqueue_many none"):
        jobs.with_options(job_id="mine").enqueue_many([call("add")])


@pytest.mark.parametrize("wrong", ["add", add, ("add", 1)], ids=["name", "function", "tuple"])
def test_what_is_no_call_is_refused_with_how_to_write_one(jobs, wrong):
    with pytest.raises((TypeError, ValueError), match="call"):
        jobs.enqueue_many([wrong])
    assert sum(jobs.counts().values()) == 0


# ---- how a door is made ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["", " a", "a\nb", "a" * 129, None, 3])
def test_a_queue_that_cannot_be_one_is_refused(queue):
    with pytest.raises(InvalidNameError, match="A queue name"):
        SQLiteJob(queue, database="unused.db")


def test_settings_are_an_instance_not_the_class(settings):
    with pytest.raises(TypeError, match=r"SQLiteJob takes an instance of settings: write Settings\(\)"):
        SQLiteJob("default", type(settings))
    with pytest.raises(TypeError, match="SQLiteJob takes an instance of WorkerSettings with your functions, not 'jobs"):
        SQLiteJob("default", "jobs.db")


def test_settings_and_a_database_exclude_each_other(settings, database):
    with pytest.raises(InvalidOptionError, match="give settings or database, not both"):
        SQLiteJob("default", settings, database=database)


def test_an_unknown_durability_or_serializer_is_refused(database):
    with pytest.raises(InvalidOptionError, match='durability is "full" or "normal", not \'half\''):
        SQLiteJob(database=database, durability="half")
    with pytest.raises(ValueError, match="no serializer named 'yaml'"):
        SQLiteJob(database=database, serializer="yaml")


def test_the_codec_of_the_door_or_of_its_settings_stands_on_each_row(database):
    SQLiteJob(database=database, serializer="json").enqueue("add", 1)
    SQLiteJob("default", settings_of(database, add, serializer="json")).enqueue("add", 2)
    SQLiteJob(database=database).enqueue("add", 3)

    codecs = execute(database, "SELECT codec FROM sqlitejob_payload ORDER BY seq")
    assert codecs == [("json",), ("json",), ("pickle",)]


def test_a_json_job_runs_on_a_worker_that_pickles(database):
    job = SQLiteJob(database=database, serializer="json").enqueue("add", [1], [2])

    drain(settings_of(database, add))

    assert job.result(timeout=0) == [1, 2]


def test_previews_can_be_switched_off(database):
    settings = settings_of(database, add, preview=False)
    job = SQLiteJob("default", settings).enqueue("add", "secret", "s")

    drain(settings)

    assert (job.info().arguments, job.info().result) == (None, None)
