"""Run functions on a schedule: listed in the settings, and made at run time."""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path

from sqlite_job import SQLiteJob, Worker, WorkerSettings, cron, current_job, every


def tick(label):
    slot = current_job().id.split("@")[1]
    return f"{label} at a full second: {slot.endswith('.000000Z')}"


def report(day):
    return f"all is well {day}"


class Settings(WorkerSettings):
    functions = [tick, report]
    timezone = "Europe/Paris"
    cron_jobs = [
        cron("* * * * * *", tick, args=["tick"]),  # six fields: each second
        cron("30 2 * * *", report, args=["today"], name="nightly", misfire="latest"),
    ]


def first_result(jobs, name):
    while True:
        for job in jobs.list_jobs(status="completed"):
            if job.id.startswith(f"{name}@"):
                return jobs.get_job_result(job.id)


def main(folder):
    settings = Settings(folder / "jobs.db")
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        print("From the settings:", first_result(jobs, "tick"))

        jobs.schedules.create(every(0.1, report, args=["often"], name="often"))
        print("Made at run time:", first_result(jobs, "often"))

        jobs.schedules.pause("nightly")
        print("Run now, though paused:", jobs.schedules.run_now("nightly").result(timeout=10))
        jobs.schedules.resume("nightly")
        jobs.schedules.delete("often")

    for schedule in jobs.schedules.list():
        print(f"{schedule.name}: {schedule.description}, {schedule.timezone}")

    # On the last Sunday of March the clocks of Paris skip 2:30; the job of that day comes at the moment of the skip.
    times = [time for time in jobs.schedules.get("nightly").next_times(366) if time.month == 3]
    odd = next(time for time in times if (time.hour, time.minute) not in {(1, 30), (0, 30)})
    print("At the skip:", odd.astimezone(timezone.utc).strftime("%H:%M UTC"), "on a", odd.strftime("%A"))
    print("In the future:", odd > datetime.now(timezone.utc))
    jobs.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
