"""See the whole at a glance: `sqlite-job status`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional

import click

from sqlite_job.cli.console import Column, styled, write_table
from sqlite_job.cli.database import database_option, open_existing
from sqlite_job.cli.facts import json_option, worker_facts, write_json
from sqlite_job.cli.moments import format_age
from sqlite_job.cli.printable import printable_line
from sqlite_job.core.states import JobStatus
from sqlite_job.inspection import WorkerInfo

_Counts = Mapping[str, Mapping[JobStatus, int]]
_Paused = Mapping[str, datetime]

# Shown even where no job has them; the others only take up room until one has.
_ALWAYS = (JobStatus.PENDING, JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED)

_WORKER_COLUMNS = (
    Column("Worker", is_number=True),
    Column("Host"),
    Column("PID", is_number=True),
    Column("Queues"),
    Column("Age"),
    Column("Seen"),
)


@click.command(short_help="Count the jobs of each queue, and list the workers.")
@json_option
@database_option
def status(*, as_json: bool, database: Optional[str]) -> None:
    """Count the jobs of each queue by their status, and list the registered workers."""
    inspector = open_existing(database)
    paused, workers = inspector.paused_queues(), inspector.workers()
    counts = inspector.queues()
    queues = {queue: counts.get(queue, {}) for queue in sorted({*counts, *paused})}
    if as_json:
        write_json(_facts(inspector.location, queues, paused, workers))
        return
    click.echo(printable_line(f"Database {inspector.location}"))
    click.echo()
    now = inspector.now()
    _write_queues(queues, paused, now)
    click.echo()
    _write_workers(workers, now)


def _facts(location: str, queues: _Counts, paused: _Paused, workers: List[WorkerInfo]) -> Dict[str, Any]:
    return {
        "database": location,
        "queues": [
            {
                "queue": queue,
                **{status.value: counts.get(status, 0) for status in JobStatus},
                "paused_at": paused.get(queue),
            }
            for queue, counts in queues.items()
        ],
        "workers": [worker_facts(worker) for worker in workers],
    }


def _write_queues(queues: _Counts, paused: _Paused, now: datetime) -> None:
    if not queues:
        click.echo("No jobs")
        return
    shown = [one for one in JobStatus if one in _ALWAYS or any(one in counts for counts in queues.values())]
    columns = [Column("Queue"), *(Column(one.value, is_number=True) for one in shown)]
    rows = [
        [styled(queue), *(styled(f"{counts.get(one, 0):,}", "" if one in counts else "dim") for one in shown)]
        for queue, counts in queues.items()
    ]
    if paused:
        columns.append(Column("Paused"))
        for queue, row in zip(queues, rows):
            row.append(styled(format_age(paused[queue], now) if queue in paused else "", "yellow"))
    write_table(columns, rows)


def _write_workers(workers: List[WorkerInfo], now: datetime) -> None:
    if not workers:
        click.echo("No workers")
        return
    rows = [
        [
            styled(worker.id),
            styled(worker.host),
            styled(worker.pid),
            styled(", ".join(worker.queues)),
            styled(format_age(worker.started_at, now)),
            styled(format_age(worker.heartbeat_at, now)),
        ]
        for worker in workers
    ]
    write_table(_WORKER_COLUMNS, rows)
