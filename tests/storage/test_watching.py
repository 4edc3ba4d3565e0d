"""Watchers wake for commits of anybody, for interrupts, and for nothing else."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from sqlite_job.storage import watching
from sqlite_job.storage.sqlite import SqliteStorage
from sqlite_job.storage.sqlite_connection import connect
from sqlite_job.storage.watching import InotifyWatcher, PollWatcher
from tests.storage.making import LEASE, NOW, claim, new_job

LONG = 20  # far above what any wake-up takes; reached only when one is lost


@pytest.fixture
def storage(path):
    made = SqliteStorage(path, "full")
    made.enqueue([new_job()])
    yield made
    made.close()


@pytest.fixture(params=["inotify", "poll"])
def watcher(request, storage, path):
    if request.param == "inotify":
        if watching.INotify is None:
            pytest.skip("inotify needs Linux and inotify_simple: pip install inotify_simple")
        made = InotifyWatcher(path, f"{path}-gate", connect(path, "full"))
    else:
        made = PollWatcher(connect(path, "full"))
    yield made
    made.close()


def test_a_commit_wakes_a_waiting_watcher(storage, watcher):
    thread = threading.Thread(target=lambda: storage.enqueue([new_job()]))
    thread.start()
    assert watcher.wait(LONG) is True
    thread.join()


def test_a_commit_before_the_wait_ends_it_at_once(storage, watcher):
    storage.enqueue([new_job()])
    assert watcher.wait(LONG) is True


def test_every_commit_of_another_program_wakes_the_watcher(path, watcher):
    stranger = sqlite3.connect(path, isolation_level=None)
    for number in range(50):
        stranger.execute("UPDATE sqlitejob_job SET priority = ?", (number,))
        assert watcher.wait(LONG) is True
    stranger.close()


def test_a_commit_long_after_its_first_write_wakes_the_watcher(path, watcher):
    stranger = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    stranger.execute("PRAGMA cache_size = 1")  # so that pages reach the journal before the commit
    stranger.execute("BEGIN")
    for number in range(200):
        stranger.execute(
            "INSERT INTO sqlitejob_job (id, queue, function, status, created_at) VALUES (?, 'q', 'f', 'pending', 0)",
            (f"s{number}",),
        )
    assert watcher.wait(0.3) is False
    thread = threading.Thread(target=lambda: stranger.execute("COMMIT"))
    thread.start()
    assert watcher.wait(LONG) is True
    thread.join()
    stranger.close()


@pytest.mark.parametrize("begins", ["before the bell", "after it"])
def test_the_bell_of_one_commit_does_not_hide_the_write_of_the_next(storage, path, begins):
    """The next commit is not there yet when its write is seen: somebody has to look on for it."""
    if watching.INotify is None:
        pytest.skip("inotify needs Linux and inotify_simple: pip install inotify_simple")
    watcher = InotifyWatcher(path, f"{path}-gate", connect(path, "full"))
    journal = f"{path}-wal"
    storage.enqueue([new_job()])
    if begins == "after it":
        assert watcher.wait(LONG) is True
        watcher.forget()
        watcher._looks.clear()
        os.truncate(journal, os.stat(journal).st_size)  # a write as inotify sees it, that commits nothing
        assert watcher.wait(0.01) is False
    else:
        assert watcher.wait(LONG) is True

    assert len(watcher._looks) > 3
    watcher.close()


def test_an_interrupt_ends_the_wait_without_a_commit(watcher):
    thread = threading.Thread(target=watcher.interrupt)
    thread.start()
    assert watcher.wait(LONG) is False
    thread.join()


def test_an_interrupt_before_the_wait_is_not_lost(watcher):
    watcher.interrupt()
    began = time.monotonic()
    assert watcher.wait(LONG) is False
    assert time.monotonic() - began < LONG / 2


def test_nothing_wakes_the_watcher_but_its_own_database(tmp_path, watcher):
    other = SqliteStorage(str(tmp_path / "other.db"), "full")
    other.enqueue([new_job()])
    other.close()
    assert watcher.wait(0.1) is False


def test_commits_can_be_ignored(storage, watcher):
    storage.enqueue([new_job()])
    assert watcher.wait(0.05, ignore_commits=True) is False
    watcher.interrupt()
    began = time.monotonic()
    assert watcher.wait(LONG, ignore_commits=True) is False
    assert time.monotonic() - began < LONG / 2


def test_a_wait_whose_time_is_over_already_ends_at_once(watcher):
    for ignore_commits in (False, True):
        assert watcher.wait(-0.001, ignore_commits=ignore_commits) is False


def test_commits_that_are_forgotten_end_no_wait_and_the_next_one_does(storage, path, watcher):
    stranger = sqlite3.connect(path, isolation_level=None)
    update = "UPDATE sqlitejob_job SET tries = tries + 1"
    for commit in (lambda: storage.enqueue([new_job()]), lambda: stranger.execute(update)):
        commit()
        watcher.forget()
        assert watcher.wait(0.1) is False
        commit()
        assert watcher.wait(LONG) is True
    stranger.close()


def test_a_commit_is_noticed_whose_signs_were_lost_among_those_of_other_files(tmp_path, storage, path):
    if watching.INotify is None:
        pytest.skip("inotify needs Linux and inotify_simple: pip install inotify_simple")
    watcher = InotifyWatcher(path, f"{path}-gate", connect(path, "full"))
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with (tmp_path / "one").open("wb", 0) as one, (tmp_path / "other").open("wb", 0) as other:
        for number in range(most + 10):  # in turns: the same event twice is kept once
            (one if number % 2 else other).write(b"x")
    storage.enqueue([new_job()])

    assert watcher.wait(LONG) is True
    watcher.forget()
    assert watcher.wait(0.1) is False
    watcher.close()


def test_a_claim_that_finds_nothing_wakes_nobody(storage, watcher):
    worker_id = storage.register_worker(["default"], NOW, LEASE)
    claim(storage, worker_id=worker_id)
    watcher.forget()
    assert claim(storage, worker_id=worker_id) == []
    assert watcher.wait(0.1) is False
    storage.enqueue([new_job()])
    watcher.forget()
    assert len(claim(storage, worker_id=worker_id)) == 1
    assert watcher.wait(LONG) is True


def test_a_flood_of_commits_still_wakes_and_then_rests(storage, watcher):
    for _ in range(200):
        storage.enqueue([new_job()])
    assert watcher.wait(LONG) is True
    deadline = time.monotonic() + LONG
    while watcher.wait(0.05):
        assert time.monotonic() < deadline


def test_a_closed_watcher_takes_interrupts_and_does_nothing(watcher):
    watcher.close()
    watcher.interrupt()
    watcher.close()


def test_subscribers_hear_of_commits_until_they_leave(storage):
    heard = threading.Event()
    leave = storage.subscribe(heard.set)
    storage.enqueue([new_job()])
    assert heard.wait(LONG)
    leave()
    for thread in threading.enumerate():
        if thread.name == "sqlite-job-commits":
            thread.join(LONG)
            assert not thread.is_alive()
