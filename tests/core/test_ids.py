"""Ids of jobs: version 7 UUIDs that never go back within a process and are never made twice."""

from __future__ import annotations

import os
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.ids import IdMaker

NOW = 1_800_000_000_000_000


class Hands:
    """A clock whose hands are set by the test."""

    def __init__(self, now=NOW):
        self.time = now

    def now(self):
        return self.time


def test_an_id_is_a_version_7_uuid_in_its_usual_form():
    make_id = IdMaker(Hands().now)

    for text in [make_id() for _ in range(1000)]:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert str(parsed) == text


@given(st.integers(min_value=0, max_value=(2**48 - 1) * 1000))
def test_the_first_48_bits_are_the_time_in_milliseconds(now):
    text = IdMaker(Hands(now).now)()

    assert uuid.UUID(text).int >> 80 == now // 1000


def test_ids_of_one_millisecond_sort_in_the_order_they_were_made():
    make_id = IdMaker(Hands().now)

    made = [make_id() for _ in range(10_000)]

    assert made == sorted(set(made))


def test_many_ids_at_once_go_on_from_those_before_and_leave_none_to_those_behind():
    make_id = IdMaker(Hands().now)

    made = [make_id(), *make_id.many_made_at(NOW, 1000), *make_id.many_made_at(NOW, 0), make_id()]
    made += make_id.many_made_at(NOW + 1000, 2)

    assert len(made) == 1004
    assert made == sorted(set(made))
    assert [uuid.UUID(text).int >> 80 for text in made[-2:]] == [NOW // 1000 + 1] * 2


def test_ids_of_a_clock_that_goes_on_sort_in_the_order_they_were_made():
    hands = Hands()
    make_id = IdMaker(hands.now)
    made = []

    for _ in range(2000):
        made += [make_id(), make_id()]
        hands.time += 700  # less than a millisecond, so that some share one

    assert made == sorted(set(made))


@given(st.lists(st.integers(min_value=-5_000_000, max_value=5_000_000), max_size=50))
def test_ids_never_go_back_when_the_clock_does(steps):
    hands = Hands()
    make_id = IdMaker(hands.now)
    made = [make_id()]

    for step in steps:
        hands.time += step
        made.append(make_id())

    assert made == sorted(set(made))


def test_two_makers_at_the_same_time_do_not_make_the_same_ids():
    clock = Hands()
    one, other = IdMaker(clock.now), IdMaker(clock.now)

    assert {one() for _ in range(1000)}.isdisjoint({other() for _ in range(1000)})


def test_threads_never_get_the_same_id():
    make_id = IdMaker(Hands().now)
    start = threading.Barrier(8)
    made = [[] for _ in range(8)]

    def make_many(mine):
        start.wait(10)
        mine.extend(make_id() for _ in range(2000))

    threads = [threading.Thread(target=make_many, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len({text for mine in made for text in mine}) == 8 * 2000
    assert all(mine == sorted(mine) for mine in made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # other tests' threads, Python 3.12
def test_a_forked_child_does_not_make_its_parents_ids():
    # The clock goes back by a second, so that nothing but the child's own draw can tell the ids apart.
    hands = Hands()
    make_id = IdMaker(hands.now)
    of_parent = make_id()
    hands.time -= 1_000_000
    read_end, write_end = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(write_end, "".join(make_id() for _ in range(100)).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)

    of_child = {text[start : start + 36] for start in range(0, len(text), 36)}
    assert len(of_child) == 100
    assert of_child.isdisjoint({make_id() for _ in range(100)})
    assert {text[:13] for text in of_child} == {of_parent[:13]}, "nor does its time go back"
