"""Subscribing to the events of a worker: to all or one kind, by the worker or by its settings, until one leaves."""

from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob, Worker
from sqlite_job.events import Completed, JobsClaimed, JobsSettled, WorkerStarted, WorkerStopped
from tests.doors.making import drain, settings_of


def echo(value=None):
    return value


def test_a_subscriber_gets_events_of_one_kind_if_it_says_so(database):
    settings = settings_of(database, echo)
    SQLiteJob("default", settings).enqueue(echo, 5)
    worker, settled, everything = Worker("default", settings), [], []
    worker.subscribe(settled.append, JobsSettled)
    worker.subscribe(everything.append)
    worker.run(burst=True)

    assert [type(event) for event in everything] == [WorkerStarted, JobsClaimed, JobsSettled, WorkerStopped]
    ((event,), job) = settled, everything[1].jobs[0]
    assert [(one, type(outcome)) for one, outcome in event.settled] == [(job, Completed)]


def test_a_subscription_ends_when_its_function_is_called(database):
    worker, seen = Worker("default", settings_of(database, echo)), []
    leave = worker.subscribe(seen.append, WorkerStarted)
    stay = worker.subscribe(seen.append, WorkerStarted)
    worker.run(burst=True)
    assert len(seen) == 2
    leave()
    leave()
    worker.run(burst=True)
    assert len(seen) == 3
    stay()
    worker.run(burst=True)
    assert len(seen) == 3


def test_a_subscriber_may_leave_while_it_is_called(database):
    worker, seen = Worker("default", settings_of(database, echo)), []

    def once(event):
        seen.append(event)
        leave()

    leave = worker.subscribe(once)
    worker.subscribe(seen.append)
    worker.run(burst=True)

    assert [type(event) for event in seen] == [WorkerStarted, WorkerStarted, WorkerStopped]


def test_subscribers_of_the_settings_get_each_event(database):
    seen = []
    drain(settings_of(database, echo, subscribers=[seen.append, lambda event: seen.append("too")]))

    assert [type(event) for event in seen] == [WorkerStarted, str, WorkerStopped, str]


@pytest.mark.parametrize("subscriber", ["print", None, 5])
def test_what_cannot_be_called_is_refused(database, subscriber):
    with pytest.raises(TypeError, match="a subscriber is a function that takes an event, not "):
        Worker("default", settings_of(database, echo)).subscribe(subscriber)


@pytest.mark.parametrize("kind", ["JobsSettled", Completed, object, JobsSettled([])])
def test_what_is_no_kind_of_event_is_refused(database, kind):
    with pytest.raises(TypeError, match=r"there are no events of .*; there are WorkerStarted, "):
        Worker("default", settings_of(database, echo)).subscribe(print, kind)
