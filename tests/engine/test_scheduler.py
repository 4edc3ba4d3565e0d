"""The scheduler: what it makes of due schedules, and of those that it cannot fire."""

from __future__ import annotations

import pickle
import shutil

import pytest

from sqlite_job.core.errors import DatabaseFullError, DecodeError, InvalidOptionError
from sqlite_job.core.events import Events, ScheduleFailed, SchedulesFired, SlotsMissed, StorageFailed
from sqlite_job.core.job_maker import JobMaker
from sqlite_job.core.schedules import Schedule, slot_id
from sqlite_job.core.serializers import SignedPickleSerializer, make_codecs
from sqlite_job.core.slots import MOST_JOBS
from sqlite_job.engine.housekeeping.scheduler import Scheduler
from sqlite_job.storage.interface import JobFilter
from tests.doors.making import execute
from tests.engine.making import HandClock
from tests.storage.making import NOW, claim

SECOND = 1_000_000
ARGS = pickle.dumps(((1, 2), {}))


class Desk:
    """A scheduler with its storage, its clock and what it said."""

    def __init__(self, storage, codecs):
        self.storage, self.codecs, self.clock, self.events = storage, codecs, HandClock(), []
        storage.register_worker(("default",), NOW, 30 * SECOND)
        events = Events()
        events.subscribe(self.events.append)
        maker = JobMaker(codecs, 1000, None)
        self.scheduler = Scheduler(storage, ["add"], codecs, maker, clock=self.clock, events=events)

    def create(self, name="mine", args=ARGS, codec="pickle", **changes):
        made = Schedule(name, None, None, SECOND, "UTC", "all", None, None, "add", codec, args, "1, 2", "{}")
        self.storage.put_schedule(made._replace(**changes), NOW, may_create=True, may_change=False)

    def tick(self, seconds):
        self.clock.time = NOW + round(seconds * SECOND)
        self.scheduler.tick()

    def jobs(self):
        return sorted(job.id for job in self.storage.find(JobFilter(limit=1000)))

    def of_kind(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def desk(storage):
    return Desk(storage, make_codecs("pickle"))


def test_each_due_slot_becomes_a_job_with_the_schedules_arguments_and_options(desk):
    desk.create(options='{"queue":"high","priority":3,"max_tries":4,"tags":"[\\"t\\"]","meta":"{\\"a\\":1}"}')
    desk.tick(2.5)

    assert desk.jobs() == [slot_id("mine", NOW + number * SECOND) for number in (1, 2)]
    job = desk.storage.get(slot_id("mine", NOW + SECOND))
    assert (job.queue, job.priority, job.max_tries, job.tags, job.meta) == ("high", 3, 4, ("t",), {"a": 1})
    assert (job.function, job.arguments, job.run_at) == ("add", "1, 2", None)
    assert [pickle.loads(one.args) for one in claim(desk.storage, queues=["high"])] == [((1, 2), {})] * 2
    assert desk.of_kind(SchedulesFired) == [SchedulesFired([("mine", desk.jobs())])]


def test_it_is_due_again_when_the_next_schedule_is_and_every_five_seconds_at_least(desk):
    desk.tick(0)
    assert desk.scheduler.every_seconds == 5
    desk.create(every=SECOND // 4)
    desk.create("other", every=SECOND // 2)
    desk.tick(0)
    assert desk.scheduler.every_seconds == 0.25
    desk.tick(0.3)
    assert desk.scheduler.every_seconds == pytest.approx(0.2)


def test_it_is_due_at_once_for_what_was_made_since_its_last_look(desk):
    desk.tick(0)
    desk.scheduler.expect(NOW + SECOND // 10)
    assert desk.scheduler.every_seconds == 0.1
    desk.scheduler.expect(NOW - 1)
    assert desk.scheduler.every_seconds == 0
    desk.scheduler.expect(None)
    desk.scheduler.expect(NOW + SECOND)
    assert desk.scheduler.every_seconds == 0


def test_a_long_absence_is_made_up_for_in_several_transactions(desk):
    desk.create()
    desk.tick(250)
    assert len(desk.jobs()) == MOST_JOBS
    assert desk.scheduler.every_seconds == 0
    desk.tick(250)
    desk.tick(250)

    assert desk.jobs() == sorted(slot_id("mine", NOW + number * SECOND) for number in range(1, 251))
    assert desk.scheduler.every_seconds == 1


def test_many_schedules_at_one_time_are_fired_in_several_transactions(desk):
    for number in range(250):
        desk.create(f"mine-{number}")
    for _ in range(3):
        assert desk.scheduler.every_seconds in (0, 5)
        desk.tick(1)

    assert len(desk.jobs()) == 250
    assert [len(event.fired) for event in desk.of_kind(SchedulesFired)] == [100, 100, 50]


def test_what_was_missed_is_told(desk):
    desk.create(misfire="latest")
    desk.tick(10)

    assert desk.jobs() == [slot_id("mine", NOW + 10 * SECOND)]
    assert desk.of_kind(SlotsMissed) == [SlotsMissed("mine", 9, "latest")]


def test_a_clock_that_jumps_makes_no_slot_run_twice(desk):
    desk.create()
    for seconds in (2, 0.5, 1.5, 4, -100, 3, 4.5):
        desk.tick(seconds)
        assert 0 <= desk.scheduler.every_seconds <= 5

    assert desk.jobs() == [slot_id("mine", NOW + number * SECOND) for number in (1, 2, 3, 4)]


def test_jitter_puts_a_job_off_by_up_to_that(desk):
    for number in range(20):
        desk.create(f"mine-{number}", jitter=SECOND)
    desk.tick(1)
    waits = [job.run_at.timestamp() - (NOW / SECOND + 1) for job in desk.storage.find(JobFilter())]

    assert len(set(waits)) > 1
    assert all(0 <= wait < 1 for wait in waits)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"args": b"garbage"}, DecodeError),
        ({"args": pickle.dumps(1)}, DecodeError),
        ({"codec": "mine"}, DecodeError),
        ({"cron": "no cron", "every": None}, InvalidOptionError),
        ({"cron": "0 3 * * *", "every": None, "timezone": "Mars"}, InvalidOptionError),
        ({"every": 0}, InvalidOptionError),
        ({"jitter": -1}, ValueError),
        ({"options": "{"}, InvalidOptionError),
        ({"options": '{"of_a_newer_version":1}'}, InvalidOptionError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_that_cannot_be_fired_is_told_once_and_left_for_others_while_the_rest_goes_on(desk, changes, error):
    desk.create("good")
    desk.create("bad")
    with_values = {"next_at": NOW + SECOND, "created_at": NOW}
    row = desk.storage.schedule("bad")._replace(**changes, **with_values)
    columns = ", ".join(f"{name} = ?" for name in row._fields)
    execute(desk.storage.location, f"UPDATE sqlitejob_schedule SET {columns} WHERE name = 'bad'", *row)
    for seconds in (1, 2, 2.5):
        desk.tick(seconds)

    assert desk.jobs() == [slot_id("good", NOW + number * SECOND) for number in (1, 2)]
    (event,) = desk.of_kind(ScheduleFailed)
    assert event.schedule == "bad"
    assert isinstance(event.error, error)
    assert desk.storage.schedule("bad").next_at == NOW + SECOND
    assert desk.scheduler.every_seconds == 0.5  # the failed one does not keep the loop awake
    desk.scheduler.expect(NOW + SECOND)
    assert desk.scheduler.every_seconds == 0.5


def test_one_that_could_not_be_fired_is_once_it_is_mended(desk):
    desk.create(args=b"garbage")
    desk.tick(1)
    mended = desk.storage.schedule("mine")._replace(args=ARGS)
    desk.storage.put_schedule(mended, NOW + SECOND, may_create=False, may_change=True)
    desk.tick(1.5)

    assert desk.jobs() == [slot_id("mine", NOW + SECOND)]


def test_arguments_that_were_signed_for_a_schedule_are_signed_anew_for_each_job(storage):
    codecs = make_codecs(SignedPickleSerializer("0123456789abcdef"))
    desk = Desk(storage, codecs)
    args = codecs.encode(((1, 2), {}), "add", "schedule:mine")
    desk.create(args=args, codec="signed-pickle")
    desk.create("moved", args=args, codec="signed-pickle")
    desk.tick(2)

    claimed = claim(storage)
    assert [job.id for job in claimed] == [slot_id("mine", NOW + number * SECOND) for number in (1, 2)]
    assert [codecs.decode(job.codec, job.args, "add", job.id) for job in claimed] == [((1, 2), {})] * 2
    assert len({job.args for job in claimed}) == 2
    assert [event.schedule for event in desk.of_kind(ScheduleFailed)] == ["moved"]


@pytest.mark.files("a server looks after its own disk")
def test_on_a_full_disk_it_waits_a_second_and_does_not_stop_the_loop(desk, monkeypatch):
    desk.create()
    full = shutil.disk_usage("/")._replace(total=10**9, free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    desk.tick(1)

    (event,) = desk.of_kind(StorageFailed)
    assert isinstance(event.error, DatabaseFullError)
    assert desk.scheduler.every_seconds == 1
    assert desk.jobs() == []
    monkeypatch.undo()
    desk.tick(2)
    assert len(desk.jobs()) == 2
