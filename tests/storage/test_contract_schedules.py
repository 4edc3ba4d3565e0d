"""The contract of schedules, on every database."""

from __future__ import annotations

import threading

import pytest

from sqlite_job.core.errors import ScheduleNotFoundError, ScheduleStateError
from sqlite_job.core.schedules import Firing, Schedule, slot_id
from sqlite_job.storage.interface import JobFilter
from tests.storage.making import NOW, new_job, wanted

SECOND = 1_000_000
MINUTE = 60 * SECOND


def schedule(name="report", origin="app.Settings", **changes):
    """Return a schedule of each minute, as it is made by whoever lists it."""
    made = Schedule(name, origin, None, MINUTE, "UTC", "skip", None, None, "add", "pickle", b"args", "1, 2", "{}")
    return made._replace(**changes)


def sync(storage, *listed, origin="app.Settings", now=NOW):
    return storage.sync_schedules(origin, listed, now)


def create(storage, name="mine", now=NOW, **changes):
    return storage.put_schedule(schedule(name, None, **changes), now, may_create=True, may_change=False)


def change(storage, name="mine", now=NOW, **changes):
    return storage.put_schedule(schedule(name, None, **changes), now, may_create=False, may_change=True)


def firing(stored, next_at=None):
    """Return a schedule as read, with the job of its slot."""
    job_id = slot_id(stored.name, stored.next_at)
    return Firing(stored, next_at or stored.next_at + MINUTE, stored.next_at, [new_job(job_id)])


def due(storage, now, functions=("add",)):
    return [one.name for one in storage.due_schedules(functions, now).due]


def ids(storage):
    return [job.id for job in storage.find(JobFilter())]


# ---- those that settings list


def test_a_listed_schedule_is_there_after_the_sync_and_due_after_its_first_interval(storage):
    assert sync(storage, schedule()) == (["report"], [], [], [])

    assert storage.schedules() == [schedule(created_at=NOW, next_at=NOW + MINUTE)]
    assert storage.schedule("report") == storage.schedules()[0]


def test_a_second_sync_writes_nothing(storage):
    sync(storage, schedule())
    watcher = storage.watch()
    try:
        while watcher.wait(0.2):
            pass  # what was written before may be told late
        assert sync(storage, schedule(), now=NOW + 90 * SECOND) == ([], [], [], [])
        assert watcher.wait(0.2) is False
    finally:
        watcher.close()
    assert storage.schedule("report").next_at == NOW + MINUTE


def test_a_change_of_the_times_starts_anew_from_now(storage):
    sync(storage, schedule(), schedule("cron", cron="0 3 * * *", every=None))
    later = NOW + 90 * SECOND

    changed = [schedule(every=2 * MINUTE), schedule("cron", cron="0 3 * * *", every=None, timezone="Europe/Paris")]
    assert sync(storage, *changed, now=later) == ([], ["report", "cron"], [], [])
    assert storage.schedule("report").next_at == NOW + 2 * MINUTE  # still aligned to its creation
    assert storage.schedule("report").created_at == NOW
    assert storage.schedule("cron").next_at > later


@pytest.mark.parametrize(
    "changes", [{"args": b"new", "preview": "3"}, {"misfire": "all"}, {"jitter": 5}, {"options": '{"queue":"q"}'}]
)
def test_any_other_change_keeps_what_has_been_missed(storage, changes):
    sync(storage, schedule())
    assert sync(storage, schedule(**changes), now=NOW + 10 * MINUTE).changed == ["report"]

    assert storage.schedule("report") == schedule(created_at=NOW, next_at=NOW + MINUTE, **changes)


def test_what_is_not_listed_any_more_is_removed_with_its_origin_only(storage):
    sync(storage, schedule("a"), schedule("b"))
    sync(storage, schedule("c", "other.Settings"), origin="other.Settings")
    create(storage, "mine")

    assert sync(storage, schedule("a")).removed == ["b"]
    assert [one.name for one in storage.schedules()] == ["a", "c", "mine"]
    assert sync(storage).removed == ["a"]


def test_a_listed_name_that_another_has_is_taken_from_it(storage):
    sync(storage, schedule(), origin="app.Settings")
    create(storage, "mine")
    listed = [schedule("report", "app.Renamed"), schedule("mine", "app.Renamed", args=b"listed")]

    synced = sync(storage, *listed, origin="app.Renamed", now=NOW + MINUTE)
    assert synced.taken == [("report", "app.Settings"), ("mine", None)]
    assert {one.origin for one in storage.schedules()} == {"app.Renamed"}
    assert storage.schedule("report").next_at == NOW + MINUTE
    assert sync(storage).removed == []


def test_a_pause_survives_a_sync_whatever_has_changed(storage):
    sync(storage, schedule())
    storage.pause_schedule("report", NOW + 1)
    sync(storage, schedule(every=5 * MINUTE), now=NOW + 2)

    assert storage.schedule("report").paused_at == NOW + 1


# ---- those made at run time


def test_one_made_at_run_time_is_kept_by_every_sync(storage):
    made = create(storage)
    sync(storage)

    assert made == storage.schedule("mine") == schedule("mine", None, created_at=NOW, next_at=NOW + MINUTE)


def test_a_name_is_given_once(storage):
    create(storage)
    with pytest.raises(ScheduleStateError, match="Cannot create schedule 'mine': it exists already"):
        create(storage, every=1)
    assert storage.schedule("mine").every == MINUTE


def test_it_can_be_changed_and_then_keeps_its_creation_and_its_last_job(storage):
    first = create(storage)
    storage.fire_schedules([firing(first)])
    changed = change(storage, every=10 * MINUTE, args=b"new", now=NOW + MINUTE)

    assert changed == storage.schedule("mine")
    assert (changed.created_at, changed.next_at, changed.args) == (NOW, NOW + 10 * MINUTE, b"new")
    assert changed.last_job_id == slot_id("mine", NOW + MINUTE)


def test_an_unknown_one_cannot_be_changed_paused_resumed_or_deleted(storage):
    create(storage, "report")
    for verb in (
        lambda: change(storage, "reprot"),
        lambda: storage.pause_schedule("reprot", NOW),
        lambda: storage.resume_schedule("reprot", NOW),
        lambda: storage.delete_schedule("reprot", also_listed=True),
        lambda: storage.schedule("reprot"),
    ):
        with pytest.raises(ScheduleNotFoundError, match=r"'reprot' \(did you mean 'report'\?\)"):
            verb()


def test_it_can_be_deleted(storage):
    create(storage)
    storage.delete_schedule("mine", also_listed=False)

    assert storage.schedules() == []


def test_a_listed_one_can_be_neither_created_nor_changed_nor_deleted_unless_forced(storage):
    sync(storage, schedule())
    for verb in (
        lambda: create(storage, "report"),
        lambda: change(storage, "report"),
        lambda: storage.delete_schedule("report", also_listed=False),
    ):
        with pytest.raises(ScheduleStateError, match=r"app\.Settings lists it"):
            verb()
    assert len(storage.schedules()) == 1
    storage.delete_schedule("report", also_listed=True)
    assert storage.schedules() == []


def test_a_paused_one_is_never_due_and_goes_on_from_when_it_is_resumed(storage):
    create(storage)
    assert storage.pause_schedule("mine", NOW + 1).paused_at == NOW + 1
    assert storage.pause_schedule("mine", NOW + 2).paused_at == NOW + 1
    assert storage.due_schedules(["add"], NOW + 10 * MINUTE) == ([], None)
    assert storage.peek(wanted(), NOW).next_slot_at is None

    resumed = storage.resume_schedule("mine", NOW + 10 * MINUTE)
    assert resumed == storage.schedule("mine")
    assert (resumed.paused_at, resumed.next_at) == (None, NOW + 11 * MINUTE)
    assert storage.resume_schedule("mine", NOW + 20 * MINUTE) == resumed


# ---- firing


def test_due_is_what_has_come_for_functions_that_are_here(storage):
    create(storage, "a")
    create(storage, "b", every=2 * MINUTE)
    create(storage, "c", function="elsewhere", every=SECOND)

    assert storage.due_schedules(["add"], NOW + MINUTE - 1) == ([], NOW + MINUTE)
    found = storage.due_schedules(["add"], NOW + MINUTE)
    assert (found.due, found.next_at) == ([storage.schedule("a")], NOW + 2 * MINUTE)
    assert due(storage, NOW + 2 * MINUTE) == ["a", "b"]
    assert due(storage, NOW + MINUTE, ["elsewhere"]) == ["c"]
    assert storage.peek(wanted(), NOW + 10 * MINUTE).next_slot_at == NOW + MINUTE
    assert storage.peek(wanted(functions=["elsewhere"]), NOW).next_slot_at == NOW + SECOND


def test_firing_moves_a_schedule_on_and_makes_its_job(storage):
    stored = create(storage)
    one = firing(stored)

    assert storage.fire_schedules([one]) == [one]
    assert ids(storage) == [one.jobs[0].id]
    moved = storage.schedule("mine")
    assert (moved.next_at, moved.last_at, moved.last_job_id) == (NOW + 2 * MINUTE, NOW + MINUTE, one.jobs[0].id)


def test_firing_may_only_drop_what_was_missed(storage):
    stored = create(storage)
    storage.fire_schedules([firing(stored)])
    read = storage.schedule("mine")
    storage.fire_schedules([Firing(read, NOW + 9 * MINUTE, read.last_at, [], 7)])

    moved = storage.schedule("mine")
    assert (moved.next_at, moved.last_at) == (NOW + 9 * MINUTE, NOW + MINUTE)
    assert moved.last_job_id == slot_id("mine", NOW + MINUTE)
    assert len(ids(storage)) == 1


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda storage, read: storage.fire_schedules([firing(read)]),
        lambda storage, read: storage.pause_schedule("mine", NOW),
        lambda storage, read: storage.delete_schedule("mine", also_listed=False),
        lambda storage, read: change(storage, every=5 * MINUTE),
    ],
    ids=["fired", "paused", "deleted", "changed"],
)
def test_a_schedule_that_is_not_as_it_was_read_is_left_alone_and_the_others_go_on(storage, meanwhile):
    read, other = create(storage), create(storage, "other")
    meanwhile(storage, read)
    before = storage.schedules()

    assert [one.schedule.name for one in storage.fire_schedules([firing(read), firing(other)])] == ["other"]
    assert [one for one in storage.schedules() if one.name == "mine"] == [one for one in before if one.name == "mine"]
    assert ids(storage).count(slot_id("other", NOW + MINUTE)) == 1


def test_a_slot_whose_job_is_there_already_makes_no_second_one(storage):
    stored = create(storage)
    storage.enqueue([new_job(slot_id("mine", NOW + MINUTE), priority=7)])
    storage.fire_schedules([firing(stored)])

    assert [job.priority for job in storage.find(JobFilter())] == [7]


def test_of_schedulers_that_race_one_has_each_slot(storage):
    create(storage)
    rounds, racers = 25, 4
    barrier = threading.Barrier(racers)
    won = []

    def race():
        for _ in range(rounds):
            barrier.wait(60)
            read = storage.schedule("mine")
            barrier.wait(60)
            won.extend(storage.fire_schedules([firing(read)]))

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(one.schedule.next_at for one in won) == [NOW + number * MINUTE for number in range(1, rounds + 1)]
    assert sorted(ids(storage)) == sorted(slot_id("mine", NOW + number * MINUTE) for number in range(1, rounds + 1))
