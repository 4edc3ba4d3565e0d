"""Limits on whole queues, through the doors."""

from __future__ import annotations

import contextlib

import pytest

from sqlite_job import Inspector, Limit, RateLimit, SettingsError, SQLiteJob, Worker, call, task
from tests.doors.making import DEADLINE, nothing, run_all, settings_of
from tests.doors.test_conditions import Counter


def test_never_more_than_so_many_of_a_queue_run_at_once(database):
    counter = Counter(expected=3)
    functions = [task(counter.work, name=name) for name in ("one", "two")]
    settings = settings_of(database, *functions, max_jobs=8, queue_limits={"default": Limit(3)})
    jobs = SQLiteJob("default", settings)
    made = jobs.enqueue_many([call(("one", "two")[number % 2], number) for number in range(12)])

    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Worker("default", settings).running_in_background())
        for job in made:
            Inspector(settings.location).wait(job, timeout=DEADLINE)

    assert counter.most == 3
    assert sorted(counter.finished) == list(range(12))


def test_the_rate_of_a_queue_is_kept_without_waiting_for_the_safety_poll(database):
    limits = {"default": (Limit(5), RateLimit(2, per=0.5))}
    settings = settings_of(database, nothing, queue_limits=limits, poll_delay=600)
    jobs = SQLiteJob("default", settings)

    infos = run_all(settings, *jobs.enqueue_many([call(nothing) for _ in range(5)]))

    # Counted from the enqueue: a start counts when a worker takes the job, and the thread that runs it may come later.
    waits = sorted((info.started_at - info.created_at).total_seconds() for info in infos)
    assert all(wait >= 0.5 * (number // 2) for number, wait in enumerate(waits))
    assert {info.tries for info in infos} == {1}


def test_a_burst_ends_when_only_the_queues_rate_keeps_jobs_back(database):
    settings = settings_of(database, nothing, queue_limits={"default": RateLimit(2, per=3600)})
    SQLiteJob("default", settings).enqueue_many([call(nothing) for _ in range(5)])

    assert Worker("default", settings).run(burst=True) == 2


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limit(3), r'queue_limits is a mapping of queues to limits, as {"mail": Limit\(5\)}, not Limit'),
        ({"mail": 5}, r"queue_limits of 'mail': a queue has a Limit, a RateLimit, or both, as .*, not 5"),
        ({"mail": ()}, "a queue has a Limit, a RateLimit, or both"),
        ({"mail": (Limit(1), Limit(2))}, "one Limit and one RateLimit at most"),
        ({"mail": Limit(1, key=lambda to: to)}, "of 'mail': a limit on a queue has no key; give the one with a key"),
        ({"": Limit(1)}, "queue_limits: A queue name must not be empty"),
        ({3: Limit(1)}, "queue_limits: A queue name must be text, not int: 3"),
    ],
)
def test_limits_on_queues_that_cannot_be_are_refused(database, limits, message):
    with pytest.raises(SettingsError, match=message):
        settings_of(database, nothing, queue_limits=limits)
