"""The service that prunes: what, when, and how far it looks each time."""

from __future__ import annotations

import pytest

from sqlite_job.core.clock import SECOND
from sqlite_job.core.events import Events, JobsPruned
from sqlite_job.core.retention import Keep, Retention
from sqlite_job.core.states import JobStatus
from sqlite_job.engine.housekeeping import Housekeeping
from sqlite_job.engine.housekeeping.pruner import Pruner
from sqlite_job.storage.interface import JobFilter
from tests.doors.making import execute
from tests.engine.making import HandClock
from tests.storage.making import LEASE, NOW, claim, completed, failed, new_job, settle

DAY = 24 * 3600 * SECOND


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def make(storage, clock, events):
    """Make a pruner of the queue "default" for these functions."""
    storage.register_worker(("default",), NOW, LEASE)
    hub = Events()
    hub.subscribe(events.append)

    def make_one(queues=("default",), kind=Retention, **functions):
        return Pruner(storage, kind(functions), queues, clock=clock, events=hub)

    yield make_one
    storage.unregister_worker(1)


def finish(storage, *ids, outcome=completed, **changes):
    storage.enqueue([new_job(job_id, **changes) for job_id in ids])
    options = {"queues": (changes.get("queue", "default"),), "functions": (changes.get("function", "add"),)}
    settle(storage, *map(outcome, claim(storage, 1000, **options)))


def end_at(storage, job_id, finished_at):
    execute(storage.location, "UPDATE sqlitejob_job SET finished_at = ? WHERE id = ?", finished_at, job_id)


def tick(pruner, times=1):
    for _ in range(times):
        pruner.tick()


def left(storage):
    return sorted(info.id for info in storage.find(JobFilter(limit=10_000)))


def test_each_job_is_kept_as_long_as_its_function_and_its_end_say(make, storage, clock):
    pruner = make(add=Keep(DAY, 2 * DAY), other=Keep(3 * DAY, None))
    finish(storage, "done")
    finish(storage, "failed", outcome=failed)
    storage.enqueue([new_job("cancelled")])
    storage.cancel("cancelled", None, NOW)
    finish(storage, "other-done", function="other")
    finish(storage, "other-failed", function="other", outcome=failed)
    found = []
    for _ in range(5):
        tick(pruner, 5)
        found.append(left(storage))
        clock.time += DAY + 10

    assert found == [
        ["cancelled", "done", "failed", "other-done", "other-failed"],
        ["failed", "other-done", "other-failed"],
        ["other-done", "other-failed"],
        ["other-failed"],
        ["other-failed"],
    ]


def test_only_the_workers_own_queues_and_functions_are_pruned(make, storage, clock):
    pruner = make(queues=("default", "mine"), add=Keep(0, 0))
    finish(storage, "a")
    finish(storage, "b", queue="mine")
    finish(storage, "c", queue="theirs")
    finish(storage, "d", function="theirs")
    clock.time += DAY
    tick(pruner, 3)

    assert left(storage) == ["c", "d"]


def test_what_is_kept_for_ever_is_not_pruned(make, storage, clock):
    pruner = make(add=Keep(None, None))
    finish(storage, "a")
    finish(storage, "b", outcome=failed)
    clock.time += 10_000 * DAY
    tick(pruner, 3)

    assert left(storage) == ["a", "b"]


def test_it_goes_on_soon_while_there_is_more_and_rests_when_there_is_none(make, storage, clock, events):
    pruner = make(add=Keep(DAY, DAY))
    storage.enqueue([new_job() for _ in range(1500)])
    settle(storage, *map(completed, claim(storage, 1500)))
    clock.time += 2 * DAY
    pauses = []
    while pruner.every_seconds < 60 or not pauses:
        tick(pruner)
        pauses.append(pruner.every_seconds)

    assert left(storage) == []
    assert len(pauses) > 2  # short batches
    assert max(pauses[:-1]) < 5
    assert pauses[-1] == 60
    assert events == [JobsPruned(1500)]
    tick(pruner)
    assert len(events) == 1


@pytest.mark.parametrize(("keep", "rest"), [(0, 1), (100 * SECOND, 10), (DAY, 60), (None, 60)])
def test_it_looks_as_often_as_what_it_keeps_asks_for(make, keep, rest):
    pruner = make(add=Keep(keep, DAY))
    tick(pruner)

    assert pruner.every_seconds == rest


def test_what_is_kept_longer_is_not_looked_at_each_time(make, storage, clock):
    """A million kept jobs must not be read again each minute: the first walk passes them, the next goes on behind."""
    asked = []

    class Counting(Retention):
        def of(self, function, status):
            asked.append(function)
            return super().of(function, status)

    finish(storage, *(f"kept-{number}" for number in range(50)), function="other")
    finish(storage, "old")
    end_at(storage, "old", NOW + 60 * SECOND)
    pruner = make(kind=Counting, add=Keep(DAY, None), other=Keep(None, None))
    clock.time += 2 * DAY
    tick(pruner, 2)
    assert left(storage) == sorted(f"kept-{number}" for number in range(50))
    assert len(asked) == 51

    finish(storage, "new")
    end_at(storage, "new", NOW + DAY // 2)
    tick(pruner, 5)
    assert storage.get("new") is None
    assert len(asked) == 52


def test_a_job_whose_end_is_committed_late_is_found_all_the_same(make, storage, clock):
    pruner = make(add=Keep(0, 0))
    storage.enqueue([new_job("late"), new_job("quick")])
    late, quick = claim(storage)
    settle(storage, completed(quick)._replace(finished_at=NOW + 12 * SECOND))
    clock.time += 30 * SECOND
    tick(pruner, 2)
    assert storage.get("quick") is None
    settle(storage, completed(late)._replace(finished_at=NOW + 10 * SECOND))
    tick(pruner, 2)

    assert left(storage) == []


def test_two_pruners_do_not_do_everything_twice(make, storage, clock):
    """The one that finds a batch gone leaves the matter to the other."""
    storage.enqueue([new_job() for _ in range(2000)])
    settle(storage, *map(completed, claim(storage, 2000)))
    clock.time += DAY
    first = make(add=Keep(0, 0))
    beaten = []

    class Beaten(Retention):
        def of(self, function, status):
            if not beaten:
                beaten.append(True)
                tick(first, 3)  # between the look and the transaction
            return super().of(function, status)

    second = make(kind=Beaten, add=Keep(0, 0))
    tick(second)
    assert second.every_seconds >= 1
    assert first.every_seconds < 1


@pytest.mark.parametrize(("ended", "hurries"), [(60 * SECOND, True), (DAY, False)])
def test_it_hurries_where_jobs_end_faster_than_it_prunes_them(make, storage, clock, ended, hurries):
    """Until there is none left; but not for what nobody pruned for a long time."""
    storage.enqueue([new_job() for _ in range(5000)])
    settle(storage, *map(completed, claim(storage, 5000)))
    execute(storage.location, "UPDATE sqlitejob_job SET finished_at = ? + seq * 1000", NOW - ended)
    pruner = make(add=Keep(0, 0))

    def has_no_pause_after(passed):
        clock.time += passed
        tick(pruner)
        return pruner.every_seconds == 0

    # A job ended each millisecond, and a batch has some hundred of them.
    assert [has_no_pause_after(passed) for passed in (0, 1000, 5 * SECOND, 1000)] == [False, False, hurries, hurries]
    while left(storage):
        tick(pruner)
    assert not has_no_pause_after(0)


def test_a_service_may_change_its_pace():
    class Service:
        every_seconds = 3600.0

        def tick(self):
            self.every_seconds = 0.0

    service = Service()
    housekeeping = Housekeeping([service])
    housekeeping.tick()
    assert housekeeping.seconds_until_due() == 0


def test_a_tick_that_raises_is_due_again_at_its_next_time_not_at_once(make, storage):
    class Broken:
        every_seconds = 3600.0

        def tick(self):
            raise OSError("no")

    housekeeping = Housekeeping([Broken()])
    with pytest.raises(OSError, match="no"):
        housekeeping.tick()
    assert housekeeping.seconds_until_due() > 3000


def test_pruned_jobs_have_ended_and_are_gone_for_good(make, storage, clock):
    pruner = make(add=Keep(0, 0))
    finish(storage, "a")
    storage.enqueue([new_job("b")])
    clock.time += DAY
    tick(pruner, 3)

    assert storage.get("a") is None
    assert storage.result("a") is None
    assert storage.get("b").status is JobStatus.PENDING
