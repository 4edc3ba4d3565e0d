"""Keep urgent jobs apart from slow ones: several queues, several workers, priorities, and jobs for later."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sqlite_job import SQLiteJob, Worker, WorkerSettings, current_job, task

order = []
served = set()


def note(text):
    order.append(text)


def say_queue():
    served.add(current_job().queue)


class Settings(WorkerSettings):
    functions = [note, say_queue, task(note, name="note_urgent", queue="high", priority=10)]
    max_jobs = 1  # one after the other, so that the order can be seen


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        high, default = SQLiteJob("high", settings), SQLiteJob("default", settings)

        default.enqueue("note", "default")
        default.with_options(priority=5).enqueue("note", "default with priority 5")
        high.enqueue("note", "high")
        default.enqueue("note_urgent", "high by its task, with priority 10")

        # Queues in strict order: nothing is taken from `default` while `high` has jobs.
        Worker(["high", "default"], settings).run(burst=True)
        print("In this order:")
        for text in order:
            print(f"  {text}")

        # Two workers; usually each is a process of its own. More of them may serve the same queue.
        with ExitStack() as stack:
            for queue in ("high", "default"):
                stack.enter_context(Worker(queue, settings).running_in_background())
            for job in (high.enqueue("say_queue"), default.enqueue("say_queue")):
                job.result(timeout=10)
            print(f"Queues served at the same time: {', '.join(sorted(served))}")

            soon = default.with_options(delay=0.2).enqueue("note", "after 0.2 s")
            moment = datetime.now(timezone.utc) + timedelta(seconds=0.3)
            later = default.with_options(run_at=moment).enqueue("note", "at the given time")
            tomorrow = default.with_options(delay=timedelta(days=1)).enqueue("note", "tomorrow")
            soon.result(timeout=10)
            later.result(timeout=10)
            print(f"Done, last of all: {order[-2]}, then {order[-1]}")
            print(f"The job for tomorrow is {tomorrow.status()}")


if __name__ == "__main__":
    main()
