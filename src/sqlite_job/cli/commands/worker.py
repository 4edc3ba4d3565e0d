"""Run a worker: `sqlite-job worker`."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import click

from sqlite_job.cli.database import database_option_beside_settings
from sqlite_job.cli.settings_path import load_settings

# Digits only: a queue's own name may have an equals sign.
_WEIGHTED = re.compile(r"(.+)=(\d+)", re.ASCII | re.DOTALL)

_EPILOG = "\b\nExample:\n  sqlite-job worker my_tasks.MyWorkerSettings --queue high --queue default"


@click.command(short_help="Run the jobs of a queue.", epilog=_EPILOG)
@click.argument("settings", metavar="MODULE.CLASS")
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME[=WEIGHT]",
    help="Queue to serve; several in strict order, or by weight.  [default: default]",
)
@click.option("--burst", is_flag=True, help="End when nothing is ready to run.")
@click.option(
    "--processes", type=click.IntRange(1), default=1, metavar="N", help="Workers to keep running.  [default: 1]"
)
@click.option("--max-jobs", type=click.IntRange(1), metavar="N", help="Replace a worker after so many jobs.")
@click.option("--max-age", type=click.FloatRange(1), metavar="SECONDS", help="Replace a worker after so long.")
@click.option("--max-rss", type=click.FloatRange(1), metavar="MB", help="Replace a worker above so much memory.")
@click.option("--reload", is_flag=True, help="Replace workers when a Python file below this folder changes.")
@click.option("--verbose", "-v", is_flag=True, help="Log each claim, too.")
@database_option_beside_settings
def worker(settings: str, database: Optional[str], **options: Any) -> None:
    """Run the jobs of a queue with the functions of the settings MODULE.CLASS.

    The module is looked for in this folder first. The jobs of the first --queue all go before those of the next, unless
    they have weights: with --queue high=3 --queue default=1 both are served, three jobs of the one for each of the
    other. A queue without a weight then has 1.

    With --processes, --max-age, --max-rss or --reload a supervisor starts the workers, and replaces those that die. It
    gives up, with exit code 75, when they die right after their start again and again.

    Ctrl-C or SIGTERM stop it: running jobs may end, the others stay in the queue, and the exit code is 0. A second one
    does not wait.
    """
    choice = WorkerOptions(**options)
    if choice.verbose:
        _log_everything()
    if choice.is_supervised:
        _supervise(settings, database, choice)
    else:
        _run(settings, database, choice)


class WorkerOptions(NamedTuple):
    """The options of `worker`, as typed."""

    queues: Tuple[str, ...]
    burst: bool
    processes: int
    max_jobs: Optional[int]
    max_age: Optional[float]
    max_rss: Optional[float]
    reload: bool
    verbose: bool

    @property
    def served(self) -> Union[Sequence[str], Mapping[str, int]]:
        """The queues in strict order, or with their weights."""
        named = [_WEIGHTED.fullmatch(text) for text in self.queues]
        if not any(named):
            return self.queues or ("default",)
        pairs = [found.groups() if found else (text, "1") for text, found in zip(self.queues, named)]
        if len({name for name, _ in pairs}) < len(pairs):
            raise click.UsageError(f"--queue names a queue twice: {', '.join(self.queues)}.")
        return {name: int(weight) for name, weight in pairs}

    @property
    def is_supervised(self) -> bool:
        """Whether more is asked for than one worker in this process."""
        return self.processes > 1 or self.reload or self.max_age is not None or self.max_rss is not None


def _run(settings: str, database: Optional[str], options: WorkerOptions) -> None:
    from sqlite_job.worker import Worker

    worker = Worker(options.served, load_settings(settings, database))
    jobs_run = worker.run(burst=options.burst, max_jobs=options.max_jobs)
    click.echo(f"Ran {jobs_run:,} {'job' if jobs_run == 1 else 'jobs'}")


def _supervise(settings: str, database: Optional[str], options: WorkerOptions) -> None:
    from sqlite_job.reloading import ChangedFiles
    from sqlite_job.supervisor import Recycling, Supervisor
    from sqlite_job.worker import Worker

    if options.burst:
        raise click.UsageError("--burst is for one worker: leave out --processes, --max-age, --max-rss and --reload.")
    loaded = load_settings(settings, database)
    Worker(options.served, loaded)  # not to run: what is wrong with settings or queues is said once
    supervisor = Supervisor(
        _command(settings, database, loaded.location, options),
        options.processes,
        loaded,
        recycling=Recycling(options.max_age, options.max_rss),
        has_changed=ChangedFiles(Path.cwd()) if options.reload else None,
    )
    sys.exit(supervisor.run())


def _command(settings: str, database: Optional[str], location: str, options: WorkerOptions) -> List[str]:
    command = [sys.executable, "-m", "sqlite_job", "worker", settings]
    # Every user of the machine can read a command line: a password that was not in one is not put there.
    if database is not None or "://" not in location:
        command += ["--database", location]
    for queue in options.queues:
        command += ["--queue", queue]
    if options.max_jobs is not None:
        command += ["--max-jobs", str(options.max_jobs)]
    return [*command, "--verbose"] if options.verbose else command


def _log_everything() -> None:
    logger = logging.getLogger("sqlite_job")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
