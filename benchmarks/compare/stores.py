"""Empty a store, and say how big it is, whatever system uses it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, Dict

_clients: Dict[str, Any] = {}


def empty(store: str) -> None:
    """Leave nothing of what was there: a file is deleted, a database dropped and made anew."""
    if store.startswith("redis"):
        redis_client(store).flushdb()
    elif store.startswith("postgresql"):
        _make_database(store)
    else:
        for left in Path(store).parent.glob(f"{Path(store).name}*"):
            left.unlink()


def used_bytes(store: str) -> int:
    """Return the bytes on the disk, or in Redis's memory, which its append-only file exceeds."""
    if store.startswith("redis"):
        return int(redis_client(store).info("memory")["used_memory"])
    if store.startswith("postgresql"):
        return _database_bytes(store)
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(store).stat().st_size


def count_keys(store: str, pattern: str) -> int:
    return sum(1 for _ in redis_client(store).scan_iter(pattern, count=10_000))


def redis_client(store: str) -> Any:
    if store not in _clients:
        import redis

        _clients[store] = redis.Redis.from_url(store)
    return _clients[store]


def postgres_connection(store: str) -> Any:
    import psycopg

    return psycopg.connect(plain_url(store), autocommit=True)


def plain_url(store: str) -> str:
    """Return the URL that drivers take, without SQLAlchemy's word for its driver."""
    return store.replace("postgresql+psycopg:", "postgresql:")


def count_rows(store: str, table: str) -> int:
    """Return how many rows a table has, with a condition of our own behind its name."""
    if store not in _clients:
        _clients[store] = postgres_connection(store)
    return int(_clients[store].execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own text


def _make_database(store: str) -> None:
    server, _, name = store.rpartition("/")
    with contextlib.closing(postgres_connection(f"{server}/postgres")) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')


def _database_bytes(store: str) -> int:
    with contextlib.closing(postgres_connection(store)) as connection:
        return int(connection.execute("SELECT pg_database_size(current_database())").fetchone()[0])
