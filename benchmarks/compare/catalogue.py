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

_NO_RESULTS = "stores no results"

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
        "dbos",
        "dbos",
        "sqlite",
        450,
        "SQLite, rollback journal, synchronous=FULL: each commit waits for the disk",
        "a workflow for each job, at most 500 taken at each poll, once a second as is the default; 50 where jobs wait",
        "https://docs.dbos.dev/python/tutorials/queue-tutorial",
        marks=("after a kill, the worker that is started has the same executor id, and so takes its jobs up again",),
        packages=("dbos",),
    ),
    System(
        "procrastinate",
        "procrastinate",
        "postgresql",
        600,
        _POSTGRES,
        "coroutines, --concurrency 30; 50 where jobs wait",
        "https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html",
        marks=(_NO_RESULTS,),
        packages=("procrastinate",),
    ),
    System(
        "pgqueuer",
        "pgqueuer",
        "postgresql",
        20_000,
        _POSTGRES,
        "coroutines, --batch-size 100; 50 where jobs wait",
        "https://janbjorge.github.io/pgqueuer/guides/performance-tuning/",
        marks=(_NO_RESULTS, "writes completions down in batches, later"),
        packages=("pgqueuer",),
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
    System(
        "arq",
        "arq",
        "redis",
        1_100,
        _REDIS,
        "coroutines, max_jobs=1000, so that what it takes twice a second is enough; 50 where jobs wait",
        "https://arq-docs.helpmanual.io/",
        packages=("arq",),
    ),
    System(
        "saq",
        "saq",
        "redis",
        1_500,
        _REDIS,
        "coroutines, concurrency=10, its default; 50 where jobs wait",
        "https://saq-py.readthedocs.io/en/latest/getting_started.html",
        marks=("a worker that starts on a full queue may abort jobs; no-ops are measured with the queue swept before",),
        packages=("saq",),
    ),
    System(
        "dramatiq",
        "dramatiq",
        "redis",
        1_400,
        _REDIS,
        "threads, eight a process, its default; 50 where jobs wait; its Results middleware",
        "https://dramatiq.io/guide.html",
        packages=("dramatiq",),
    ),
    System(
        "celery",
        "celery",
        "redis",
        800,
        _REDIS,
        "prefork, prefetch multiplier 64, acks_late; 50 threads where jobs wait",
        "https://docs.celeryq.dev/en/stable/userguide/optimizing.html",
        packages=("celery",),
    ),
    System(
        "taskiq",
        "taskiq",
        "redis",
        2_000,
        _REDIS,
        "coroutines, RedisStreamBroker, which acknowledges; 100 at once, its default; 50 where jobs wait",
        "https://github.com/taskiq-python/taskiq-redis",
        packages=("taskiq",),
    ),
]
