"""Run a worker: `sqlite-job worker`."""

from __future__ import annotations

import logging
from typing import Optional, Tuple

import click

from sqlite_job.cli.database import database_option_beside_settings
from sqlite_job.cli.settings_path import load_settings

_EPILOG = "\b\nExample:\n  sqlite-job worker my_tasks.MyWorkerSettings --queue high --queue default"


@click.command(short_help="Run the jobs of a queue.", epilog=_EPILOG)
@click.argument("settings", metavar="MODULE.CLASS")
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Queue to serve; several in strict order.  [default: default]",
)
@click.option("--burst", is_flag=True, help="End when nothing is ready to run.")
@click.option("--verbose", "-v", is_flag=True, help="Log each claim, too.")
@database_option_beside_settings
def worker(settings: str, queues: Tuple[str, ...], *, burst: bool, verbose: bool, database: Optional[str]) -> None:
    """Run the jobs of a queue with the functions of the settings MODULE.CLASS.

    The module is looked for in this folder first. The jobs of the first --queue all go before those of the next.

    Ctrl-C or SIGTERM stop it: running jobs may end, the others stay in the queue, and the exit code is 0. A second one
    does not wait.
    """
    from sqlite_job.worker import Worker

    if verbose:
        _log_everything()
    jobs_run = Worker(queues or ("default",), load_settings(settings, database)).run(burst=burst)
    click.echo(f"Ran {jobs_run:,} {'job' if jobs_run == 1 else 'jobs'}")


def _log_everything() -> None:
    logger = logging.getLogger("sqlite_job")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
