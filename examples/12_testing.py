"""Test code that enqueues: check what it enqueued, work it off here and now, and move the clock instead of waiting."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sqlite_job import JobFailedError, SQLiteJob, WorkerSettings, call, current_job, task
from sqlite_job.testing import assert_enqueued, drain, fake_time, inline, refute_enqueued


def charge(order, amount):
    if amount <= 0:
        raise ValueError(f"{order} costs nothing")
    if current_job().tries == 1:
        raise ConnectionError("the bank is busy")
    return f"{order}: {amount} charged"


def remind(order):
    return f"{order}: reminded"


class Settings(WorkerSettings):
    functions = [task(charge, max_tries=2, give_up_on=ValueError), remind]


def place_order(jobs, order, amount):
    jobs.with_options(delay=timedelta(days=3)).enqueue(remind, order)
    return jobs.enqueue(charge, order, amount=amount)


def test_what_is_enqueued(settings):
    jobs = SQLiteJob("default", settings)
    place_order(jobs, "A-1", 20)
    assert_enqueued(jobs, call(charge, "A-1", 20), count=1)
    assert_enqueued(jobs, remind, delay=timedelta(days=3))
    refute_enqueued(jobs, charge, queue="urgent")
    try:
        assert_enqueued(jobs, call(charge, "A-1", 30))
    except AssertionError as error:
        print(error)


def test_what_is_done(settings):
    jobs = SQLiteJob("default", settings)
    with fake_time(datetime(2030, 1, 31, 12, tzinfo=timezone.utc)) as clock:
        job = place_order(jobs, "A-1", 20)
        print(f"First try: {drain(settings).jobs[0].error}")

        clock.advance(timedelta(minutes=1))
        drain(settings, raise_errors=True)
        print(f"Second try: {job.result(timeout=0)} at {job.info().finished_at:%H:%M}")

        clock.advance(timedelta(days=3))
        (reminder,) = drain(settings).completed
        print(f"Three days later: {reminder.function} ran at {reminder.finished_at:%Y-%m-%d %H:%M}")


def test_at_once(settings):
    with inline(settings) as jobs:
        job = place_order(jobs, "A-1", 20)
        print(f"Inline: {job.result(timeout=0)} on try {job.info().tries}")
        try:
            place_order(jobs, "A-2", 0).result(timeout=0)
        except JobFailedError as error:
            print(f"Inline: {error.error_type}: {error.message}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        # With pytest, fixtures make these: job_queue, drain_jobs, inline_jobs and fake_clock.
        for number, test in enumerate([test_what_is_enqueued, test_what_is_done, test_at_once]):
            test(Settings(Path(folder) / f"{number}.db"))


if __name__ == "__main__":
    main()
