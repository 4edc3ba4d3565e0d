"""List what is compared: how each system is set up, how safe its jobs are, where its own documentation says so."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple


class System(NamedTuple):
    """`pace` is roughly how many empty jobs one worker does in a second: it only says how many jobs a sample takes.

    `marks` are what a reader must know to compare the figures; `one_at_a_time` means a process for each job that waits.
    """

    name: str
    module: str
    store: str
    pace: int
    durability: str
    setup: str
    documentation: str
    variant: str = ""
    marks: Tuple[str, ...] = ()
    packages: Tuple[str, ...] = ()
    one_at_a_time: bool = False


_WAL_FULL = "SQLite, WAL, synchronous=FULL: each commit waits for the disk"
_REDIS = "Redis, append-only file, fsync {appendfsync}"
_POSTGRES = "PostgreSQL, synchronous_commit=on: each commit waits for the disk"

_OURS = "defaults: up to 10 plain functions in threads; 50 coroutines where jobs wait"
_OUR_PAGE = "docs/reference/settings.md"

SYSTEMS: List[System] = [
    System("sqlite-job", "sqlite_job", "sqlite", 40_000, _WAL_FULL, _OURS, _OUR_PAGE, packages=("sqlite-job",)),
    System(
        "sqlite-job, normal",
        "sqlite_job",
        "sqlite",
        40_000,
        "SQLite, WAL, synchronous=NORMAL: a power cut may take the last commits",
        'durability="normal"; else as above',
        _OUR_PAGE,
        variant="normal",
        packages=("sqlite-job",),
    ),
    System(
        "sqlite-job, PostgreSQL",
        "sqlite_job",
        "postgresql",
        8_000,
        _POSTGRES,
        'database="postgresql+psycopg://..."; else as above',
        _OUR_PAGE,
        packages=("sqlite-job",),
    ),
    System(
        "huey",
        "huey",
        "sqlite",
        2_000,
        _WAL_FULL,
        "SqliteHuey(fsync=True), one thread; 50 where jobs wait",
        "https://huey.readthedocs.io/en/latest/consumer.html",
        variant="full",
        marks=("takes a job out of the store before it runs",),
        packages=("huey",),
    ),
    System(
        "huey, no fsync",
        "huey",
        "sqlite",
        6_000,
        "SQLite, WAL, synchronous=OFF: a power cut may damage the file",
        "SqliteHuey(fsync=False); else as above",
        "https://huey.readthedocs.io/en/latest/api.html",
        variant="off",
        marks=("takes a job out of the store before it runs",),
        packages=("huey",),
    ),
    System(
        "rq",
        "rq",
        "redis",
        500,
        _REDIS,
        "SimpleWorker, for jobs of milliseconds; a pool of 50 processes where jobs wait",
        "https://github.com/rq/rq/blob/master/docs/benchmark.md",
        packages=("rq", "redis"),
        one_at_a_time=True,
    ),
]
