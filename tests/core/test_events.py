"""Events reach every subscriber, whatever another one does."""

from __future__ import annotations

import logging

from sqlite_job.core.events import Events, WorkerStopped

EVENT = WorkerStopped(worker_id=1, jobs=2)


def test_an_event_reaches_all_subscribers_in_the_order_they_came():
    events, seen = Events(), []
    events.subscribe(lambda event: seen.append(("first", event)))
    events.subscribe(lambda event: seen.append(("second", event)))

    events.emit(EVENT)

    assert seen == [("first", EVENT), ("second", EVENT)]


def test_a_subscriber_that_raises_is_logged_and_does_not_stop_the_others(caplog):
    events, seen = Events(), []

    def broken(event):
        raise ValueError("out of order")

    events.subscribe(seen.append)
    events.subscribe(broken)
    events.subscribe(seen.append)
    with caplog.at_level(logging.ERROR, "sqlite_job"):
        events.emit(EVENT)
        events.emit(EVENT)

    assert seen == [EVENT] * 4
    assert [record.getMessage() for record in caplog.records] == ["A subscriber failed on WorkerStopped"] * 2
    assert "out of order" in caplog.text


def test_an_event_without_subscribers_is_no_matter():
    assert Events().emit(EVENT) is None
