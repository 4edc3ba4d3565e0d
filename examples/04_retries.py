"""Try a failing job again: with back-off, or as the job itself says. And look at what went wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlite_job import (
    Backoff,
    Cancel,
    JobCancelledError,
    JobFailedError,
    Retry,
    Snooze,
    SQLiteJob,
    Worker,
    WorkerSettings,
    current_job,
    task,
)


def call_a_flaky_service():
    job = current_job()
    if job.tries < 3:
        raise ConnectionError(f"no answer to try {job.tries}")
    return f"answered try {job.tries}"


def ask_for_a_pause():
    if current_job().tries == 1:
        raise Retry(delay=0.1)  # not by the back-off: when the service says so
    return "went on after the pause"


def wait_for_a_file(path):
    if not Path(path).exists():
        Path(path).touch()  # Instead of somebody else, who makes it later
        raise Snooze(0.1)  # no failure, and no try is used
    return f"found on try {current_job().tries}"


def send_newsletter(subscribers):
    if not subscribers:
        raise Cancel("nobody has subscribed")
    return len(subscribers)


def read_order(number):
    raise KeyError(number)  # another try would not help


class Settings(WorkerSettings):
    max_tries = 3
    backoff = Backoff(first=0.1, factor=2, max=60)
    functions = [
        call_a_flaky_service,
        ask_for_a_pause,
        wait_for_a_file,
        send_newsletter,
        task(read_order, give_up_on=KeyError),
    ]


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings)

        with Worker("default", settings).running_in_background():
            job = jobs.enqueue(call_a_flaky_service)
            print(f"Flaky: {job.result(timeout=10)}")
            for failure in jobs.failures(job):
                print(f"  try {failure.try_number}: {failure.summary}")

            print(f"Retry: {jobs.enqueue(ask_for_a_pause).result(timeout=10)}")
            print(f"Snooze: {jobs.enqueue(wait_for_a_file, f'{folder}/data').result(timeout=10)}")

            try:
                jobs.enqueue(send_newsletter, []).result(timeout=10)
            except JobCancelledError as error:
                print(f"Cancel: {error.reason}")

            order = jobs.enqueue(read_order, 42)
            try:
                order.result(timeout=10)
            except JobFailedError as error:
                print(f"Give up: {error.error_type} after {order.info().tries} try of 3")

            # Once the cause is mended: again from the first try; what went wrong before stays in the record.
            jobs.requeue(order)
            try:
                order.result(timeout=10)
            except JobFailedError:
                print(f"Requeue: it failed again, so there are {len(jobs.failures(order))} failures on record")


if __name__ == "__main__":
    main()
