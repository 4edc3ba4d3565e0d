"""Schedules while several workers see them due: each slot makes one job."""

from __future__ import annotations

from tests.postgres.interleaving import result_of
from tests.storage.making import NOW
from tests.storage.test_contract_schedules import MINUTE, create, firing, ids, schedule, sync


def test_two_that_fire_one_slot_make_one_job(stage, first, second):
    stored = create(first)
    with stage.begun_until_its_commit(first, first.fire_schedules, [firing(stored)]) as one:
        other = stage.begin_until_it_waits(second, second.fire_schedules, [firing(stored)])
    assert (len(result_of(one)), result_of(other)) == (1, [])
    assert len(ids(first)) == 1


def test_a_schedule_that_is_being_paused_does_not_fire(stage, first, second):
    stored = create(first)
    with stage.begun_until_its_commit(first, first.pause_schedule, stored.name, NOW):
        firing_it = stage.begin_until_it_waits(second, second.fire_schedules, [firing(stored)])
    assert result_of(firing_it) == []
    assert ids(first) == []


def test_a_schedule_that_is_being_changed_does_not_fire_as_it_was_read(stage, first, second):
    stored = create(first)
    changed = stored._replace(every=2 * MINUTE)
    change = {"may_create": False, "may_change": True}
    with stage.begun_until_its_commit(first, first.put_schedule, changed, NOW, **change):
        firing_it = stage.begin_until_it_waits(second, second.fire_schedules, [firing(stored)])
    assert result_of(firing_it) == []
    assert first.schedule(stored.name).next_at == NOW + 2 * MINUTE


def test_two_that_sync_the_same_settings_write_them_once(stage, first, second):
    with stage.begun_until_its_commit(first, sync, first, schedule()) as one:
        other = stage.begin_until_it_waits(second, sync, second, schedule())
    assert result_of(one) == (["report"], [], [], [])
    assert result_of(other) == ([], [], [], [])


def test_two_that_create_one_schedule_are_told_apart(stage, first, second):
    with stage.begun_until_its_commit(first, create, first):
        other = stage.begin_until_it_waits(second, create, second)
    assert "exists already" in str(other.exception(20))
    assert len(first.schedules()) == 1
