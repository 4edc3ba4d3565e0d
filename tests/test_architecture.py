"""Hold the rules of the rooms (ARCHITECTURE.md): who may import whom, and what is done in one place only.

Each rule is a function from a parsed module to the lines that break it; each has examples of its own at the end.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Set, Tuple

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "sqlite_job"

EDGES = {"cli", "dashboard", "contrib"}
DOORS = {"connections", "operations", "schedules", "settings", "worker", "inspection", "events"} | EDGES
INNER_ROOMS = {"core", "storage", "engine", "workflows", "telemetry", "testing"}
ROOT = "the package root"  # which imports all doors
STANDARD: Set[str] = set(getattr(sys, "stdlib_module_names", ()))
FAILPOINTS = "sqlite_job.testing.failpoints.install"  # imported where an environment variable asks for them
BACKPORTS = {"backports", "typing_extensions"}
TIME = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.sleep"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
}
UNPICKLERS = {f"{module}.{name}" for module in ("pickle", "_pickle") for name in ("load", "loads", "Unpickler")}
OPENERS = {"open", "io.open", "os.fdopen"}
OPENING_METHODS = {"open", "touch", "read_bytes", "read_text", "write_bytes", "write_text"}
WRITES_STATUS = re.compile(
    r"\bset\b((?!\bwhere\b).)*\bstatus\b\W*=|\binsert\s+into\b[^)]*\bstatus\b", re.IGNORECASE | re.DOTALL
)
VAGUE_NAMES = {"utils", "helpers", "common", "manager", "data", "info"}
MOST_LINES = 400


class Import(NamedTuple):
    line: int
    target: str  # with what is taken from the module: sqlite_job.core.jobs.Job
    is_lazy: bool = False
    is_by_version: bool = False
    is_type_only: bool = False  # under TYPE_CHECKING: nothing runs it


class Module:
    def __init__(self, path: str, source: str) -> None:
        self.path = path  # below src/sqlite_job
        self.source = source
        self.tree = ast.parse(source)
        self.room = path.split("/", 1)[0] if "/" in path else path[: -len(".py")]
        self.imports = list(find_imports(self.tree, ["sqlite_job", *path.split("/")[:-1]]))
        self.references = list(find_references(self.tree))


Broken = Iterator[Tuple[int, str]]
Check = Callable[[Module], Broken]

if not STANDARD:
    pytest.skip("needs Python 3.10, which lists its own modules", allow_module_level=True)


# ---- the rules ------------------------------------------------------------------------------------------------------


def test_there_is_something_to_check() -> None:
    if not (SRC / "worker.py").exists():
        pytest.skip("worker.py is written last: without it the sources are not complete")
    for place in ("core/clock.py", "storage/files.py", "storage/interface.py", "storage/sql", "engine", "settings.py"):
        assert (SRC / place).exists(), f"{place} is gone, and rules of this file name it: they hold nothing now"


def test_core_imports_nothing_of_ours_and_no_third_party() -> None:
    hold(core_imports)


def test_only_storage_imports_sqlalchemy_and_alembic() -> None:
    hold(database_imports)


def test_only_storage_postgres_imports_psycopg_and_is_imported_lazily() -> None:
    hold(psycopg_imports)


def test_engine_and_workflows_see_only_the_interface_of_storage() -> None:
    hold(storage_beyond_its_interface)


def test_engine_never_imports_settings() -> None:
    hold(engine_settings)


def test_rooms_never_import_the_doors_above_them() -> None:
    hold(door_imports)


def test_cli_dashboard_and_contrib_never_import_storage_or_engine() -> None:
    hold(edge_imports)


def test_only_the_worker_imports_telemetry() -> None:
    hold(telemetry_imports)


def test_the_helpers_for_tests_use_the_doors_and_nobody_imports_them() -> None:
    hold(helper_imports)


def test_only_storage_sql_writes_a_status() -> None:
    hold(status_writes)


def test_only_one_module_unpickles() -> None:
    places = {module.path: found for module in sources() for found in [list(unpickling(module))] if found}
    assert len(places) <= 1, report(places)


def test_storage_opens_no_file_that_may_be_a_database() -> None:
    hold(opened_files)


def test_only_the_clock_asks_for_the_time() -> None:
    hold(time_asked)


def test_every_module_imports_annotations_from_the_future() -> None:
    hold(annotations_import)


def test_every_file_is_short_and_named_after_what_it_holds() -> None:
    hold(size_and_name)


# ---- what breaks a rule ---------------------------------------------------------------------------------------------


def core_imports(module: Module) -> Broken:
    if module.room != "core":
        return
    for found in module.imports:
        top = found.target.split(".")[0]
        if top == "sqlite_job":
            if room_of(found.target) != "core":
                yield found.line, f"core imports {found.target}; move what both need into core"
        elif top == "cronsim" and module.path == "core/timetables.py":
            continue  # parses an expression, and nothing else
        elif top not in STANDARD and not (top in BACKPORTS and found.is_by_version):
            yield found.line, f"core imports {found.target}; use the standard library (a backport: by sys.version_info)"


def database_imports(module: Module) -> Broken:
    for found in module.imports:
        if found.target.split(".")[0] in {"sqlalchemy", "alembic"} and module.room != "storage":
            yield found.line, f"imports {found.target}; only storage knows it; ask for a method of its interface"


def psycopg_imports(module: Module) -> Broken:
    for found in module.imports:
        if module.path.startswith("storage/postgres/") or found.is_type_only:
            continue
        if re.match(r"psycopg(\d|_\w+)?(\.|$)", found.target):
            yield found.line, f"imports {found.target}; only storage/postgres/ may"
        if found.target.startswith("sqlite_job.storage.postgres") and not found.is_lazy:
            # It imports psycopg, which those who have a file do not.
            yield found.line, f"imports {found.target} at once; import it in the function that needs it"


def storage_beyond_its_interface(module: Module) -> Broken:
    if module.room in {"engine", "workflows"}:
        for found in module.imports:
            if room_of(found.target) == "storage" and found.target.split(".")[2:3] != ["interface"]:
                yield found.line, f"{module.room} imports {found.target}; take it from sqlite_job.storage.interface"


def engine_settings(module: Module) -> Broken:
    if module.room == "engine":
        for found in module.imports:
            if room_of(found.target) == "settings" or found.target.endswith(".WorkerSettings"):
                yield found.line, "engine imports settings; let worker.py unpack them and pass the values in"


def door_imports(module: Module) -> Broken:
    if module.room in {"core", "storage", "engine"}:
        for found in module.imports:
            if room_of(found.target) in DOORS | {ROOT}:
                yield found.line, f"{module.room} imports {found.target}; imports go down only, pass it in from above"


def edge_imports(module: Module) -> Broken:
    if module.room in EDGES:
        for found in module.imports:
            if room_of(found.target) in {"storage", "engine"}:
                yield found.line, f"{module.room} imports {found.target}; use SQLiteJob, Worker or the Inspector"


def telemetry_imports(module: Module) -> Broken:
    if module.room not in {"telemetry", "worker", "supervisor"}:
        for found in module.imports:
            if room_of(found.target) == "telemetry":
                yield found.line, f"imports {found.target}; emit an event, and let worker.py subscribe telemetry to it"


def helper_imports(module: Module) -> Broken:
    """Find who ships test code, and helpers that know more of storage than its contract; failpoints break into it."""
    if module.path == "testing/failpoints.py":
        return
    for found in module.imports:
        room, is_contract = room_of(found.target), found.target.split(".")[2:3] == ["interface"]
        if module.room == "testing" and room == "storage" and not is_contract:
            yield found.line, f"testing imports {found.target}; use SQLiteJob, Worker, Inspector or storage.interface"
        if module.room != "testing" and room == "testing" and found.target != FAILPOINTS:
            yield found.line, f"imports {found.target}; give it a seam, and let sqlite_job.testing set it"


def status_writes(module: Module) -> Broken:
    """Find all that could write one: a module that can neither insert nor update cannot write a status."""
    if module.path.startswith(("storage/sql/", "storage/migrations/")):
        return
    mend = "write the statement in storage/sql/, where every transition stands"
    for line, name in module.references:
        if re.fullmatch(r"sqlalchemy\.(.+\.)?(insert|update|Insert|Update)", name):
            yield line, f"{name}; {mend}"
    for call in method_calls(module.tree, {"values", "insert", "update"}):
        if call.func.attr == "values" and "status" in columns_given(call):
            yield call.lineno, f".values(status=...); {mend}"
        if call.func.attr != "values" and not call.args and not call.keywords:
            yield call.lineno, f".{call.func.attr}() of a table; {mend}"
    for line, text in find_texts(module.tree):
        if WRITES_STATUS.search(text):
            yield line, f"SQL that writes a status; {mend}"


def unpickling(module: Module) -> Broken:
    for line, name in module.references:
        if name in UNPICKLERS:
            yield line, f"{name}; decode through core/serializers.py, the one place that unpickles"


def opened_files(module: Module) -> Broken:
    """Find what opens a file by itself: closing it again would drop SQLite's locks on a database in this process."""
    if module.room != "storage":
        return
    mend = "closing a database file drops SQLite's locks; use the functions of storage/files.py"
    for line, name in module.references:
        if name in OPENERS or (name == "os.open" and module.path != "storage/files.py"):
            yield line, f"{name}; {mend}"
    for call in method_calls(module.tree, OPENING_METHODS):
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id in {"os", "io"}):
            yield call.lineno, f".{call.func.attr}(); {mend}"


def time_asked(module: Module) -> Broken:
    if module.path != "core/clock.py":
        for line, name in module.references:
            if name in TIME:
                yield line, f"{name}; take a clock, or a stop event to wait on, as an argument (core/clock.py)"


def annotations_import(module: Module) -> Broken:
    has_code = any(not is_text(statement) for statement in module.tree.body)
    if has_code and all(found.target != "__future__.annotations" for found in module.imports):
        yield 1, "add `from __future__ import annotations`: Python 3.8 reads annotations without it"


def size_and_name(module: Module) -> Broken:
    lines = module.source.count("\n")
    if lines > MOST_LINES:
        yield MOST_LINES, f"{lines} lines, of at most {MOST_LINES}; it holds two nouns, make two files of it"
    vague = VAGUE_NAMES.intersection(module.path[: -len(".py")].split("/"))
    for name in vague:
        yield 1, f"the name {name!r} says nothing; name it after the noun it holds"


# ---- reading the sources --------------------------------------------------------------------------------------------


def hold(check: Check) -> None:
    broken = {module.path: found for module in sources() for found in [list(check(module))] if found}
    assert not broken, report(broken)


def report(broken: Dict[str, List[Tuple[int, str]]]) -> str:
    lines = [f"src/sqlite_job/{path}:{line}: {what}" for path, found in broken.items() for line, what in found]
    return "\n".join(["", *lines])


def sources() -> List[Module]:
    paths = sorted(SRC.rglob("*.py"))
    return [Module(path.relative_to(SRC).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def room_of(target: str) -> str:
    top, *below = target.split(".")
    if top != "sqlite_job":
        return "not ours"
    return below[0] if below and below[0] in INNER_ROOMS | DOORS else ROOT


def find_imports(
    node: ast.AST,
    package: List[str],
    *,
    is_lazy: bool = False,
    is_by_version: bool = False,
    is_type_only: bool = False,
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            how = (is_lazy, is_by_version, is_type_only)
            yield from (Import(child.lineno, name.name, *how) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) + 1 - child.level] if child.level else []
            origin = ".".join([*base, child.module] if child.module else base)
            how = (is_lazy, is_by_version, is_type_only)
            yield from (Import(child.lineno, f"{origin}.{name.name}", *how) for name in child.names)
        else:
            condition = ast.dump(child.test) if isinstance(child, ast.If) else ""
            is_not_run = "TYPE_CHECKING" in condition
            yield from find_imports(
                child,
                package,
                is_lazy=is_lazy or is_not_run or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)),
                is_by_version=is_by_version or is_not_run or "version_info" in condition,
                is_type_only=is_type_only or is_not_run,
            )


def find_references(tree: ast.AST) -> Iterator[Tuple[int, str]]:
    """Yield every name used, in full: `sleep` after `from time import sleep` is time.sleep."""
    full_names: Dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full_names.update({name.asname: name.name for name in node.names if name.asname})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            full_names.update({name.asname or name.name: f"{node.module}.{name.name}" for name in node.names})
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            first, *others = dotted(node).split(".")
            yield node.lineno, ".".join([full_names.get(first, first), *others])


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def method_calls(tree: ast.AST, names: Set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node


def columns_given(call: ast.Call) -> Set[str]:
    """Return the names in `values(status=...)`, `values({"status": ...})` and `values({job.c.status: ...})`."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    keys = [key for one in given for node in ast.walk(one) if isinstance(node, ast.Dict) for key in node.keys]
    names = {keyword.arg for keyword in call.keywords}
    names |= {key.value for key in keys if isinstance(key, ast.Constant)}
    return names | {key.attr for key in keys if isinstance(key, ast.Attribute)}


def find_texts(tree: ast.AST) -> Iterator[Tuple[int, str]]:
    docstrings = {id(node.value) for node in ast.walk(tree) if is_text(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# ---- the rules themselves -------------------------------------------------------------------------------------------

IF_NEW = "import sys\nif sys.version_info >= (3, 11): from typing import Self\nelse: from typing_extensions import Self"

BREAKS = [
    (core_imports, "core/jobs.py", "import sqlalchemy"),
    (core_imports, "core/jobs.py", "import cronsim"),
    (core_imports, "core/jobs.py", "from typing_extensions import Self"),
    (core_imports, "core/jobs.py", "from sqlite_job.storage import interface"),
    (core_imports, "core/jobs.py", "from .. import settings"),
    (core_imports, "core/jobs.py", "import sqlite_job"),
    (database_imports, "connections.py", "from sqlalchemy import create_engine"),
    (database_imports, "cli/main.py", "def f():\n    import alembic.command"),
    (psycopg_imports, "storage/base.py", "def f():\n    import psycopg"),
    (psycopg_imports, "storage/opening.py", "import psycopg_pool"),
    (psycopg_imports, "storage/opening.py", "from sqlite_job.storage.postgres.storage import PostgresStorage"),
    (storage_beyond_its_interface, "engine/engine.py", "from sqlite_job.storage.base import Base"),
    (storage_beyond_its_interface, "engine/engine.py", "from sqlite_job.storage import interface, sqlite"),
    (storage_beyond_its_interface, "workflows/steps.py", "import sqlite_job.storage"),
    (engine_settings, "engine/engine.py", "from sqlite_job.settings import WorkerSettings"),
    (engine_settings, "engine/engine.py", "from sqlite_job import WorkerSettings"),
    (engine_settings, "engine/executors/threads.py", "from ... import settings"),
    (door_imports, "storage/base.py", "from sqlite_job.connections import SQLiteJob"),
    (door_imports, "engine/engine.py", "from sqlite_job import Worker"),
    (edge_imports, "cli/main.py", "from sqlite_job.storage.interface import Storage"),
    (edge_imports, "contrib/django/models.py", "from ...engine import engine"),
    (telemetry_imports, "engine/engine.py", "from sqlite_job.telemetry import sentences"),
    (telemetry_imports, "connections.py", "from . import telemetry"),
    (helper_imports, "connections.py", "from sqlite_job.testing import inline"),
    (helper_imports, "__init__.py", "def f():\n    from sqlite_job.testing.draining import drain"),
    (helper_imports, "testing/draining.py", "from sqlite_job.storage.opening import open_storage"),
    (status_writes, "storage/base.py", "from sqlalchemy import update\nupdate(job)"),
    (status_writes, "storage/base.py", "import sqlalchemy as sa\nsa.dialects.sqlite.insert(job)"),
    (status_writes, "storage/base.py", "job.update().where(job.c.seq == 1)"),
    (status_writes, "storage/base.py", "change.values(status='running')"),
    (status_writes, "storage/base.py", "change.values({'status': 'running'})"),
    (status_writes, "storage/base.py", "change.values({job.c.status: 'running'})"),
    (status_writes, "worker.py", "text('UPDATE job SET tries = 1, status = :status')"),
    (status_writes, "worker.py", "text('insert into job (seq, status) values (1, :status)')"),
    (unpickling, "storage/base.py", "import pickle\npickle.loads(b'')"),
    (unpickling, "storage/base.py", "import pickle as p\nclass Own(p.Unpickler): ..."),
    (unpickling, "storage/base.py", "from pickle import load as read\nread(file)"),
    (opened_files, "storage/sqlite.py", "open('jobs.db')"),
    (opened_files, "storage/files.py", "with open('jobs.db') as file: ..."),
    (opened_files, "storage/files.py", "import io\nio.open('jobs.db')"),
    (opened_files, "storage/sqlite.py", "import os\nos.open('jobs.db', os.O_RDONLY)"),
    (opened_files, "storage/sqlite.py", "Path('jobs.db').open()"),
    (opened_files, "storage/sqlite.py", "path.read_bytes()"),
    (time_asked, "engine/engine.py", "import time\ntime.sleep(1)"),
    (time_asked, "engine/engine.py", "from time import monotonic as now\nclock = now"),
    (time_asked, "engine/engine.py", "from datetime import datetime, timezone\ndatetime.now(timezone.utc)"),
    (time_asked, "engine/engine.py", "import datetime as dt\ndt.datetime.utcnow()"),
    (annotations_import, "core/jobs.py", '"""Jobs."""\nimport os'),
    (size_and_name, "core/jobs.py", "\n" * (MOST_LINES + 1)),
    (size_and_name, "core/utils.py", ""),
    (size_and_name, "common/jobs.py", ""),
]

KEEPS = [
    (core_imports, "core/jobs.py", "import json\nfrom sqlite_job.core import clock\nfrom . import states"),
    (core_imports, "core/jobs.py", IF_NEW),
    (core_imports, "core/timetables.py", "from cronsim import CronSim"),
    (core_imports, "engine/engine.py", "import anything"),
    (database_imports, "storage/migrations/env.py", "import alembic, sqlalchemy"),
    (psycopg_imports, "storage/postgres/listening.py", "import psycopg\nfrom sqlite_job.storage.postgres import clock"),
    (
        psycopg_imports,
        "storage/opening.py",
        "def f():\n    from sqlite_job.storage.postgres.storage import PostgresStorage",
    ),
    (storage_beyond_its_interface, "engine/engine.py", "from sqlite_job.storage.interface import Storage"),
    (storage_beyond_its_interface, "engine/engine.py", "from sqlite_job.storage import interface"),
    (engine_settings, "worker.py", "from sqlite_job.settings import WorkerSettings"),
    (door_imports, "engine/engine.py", "from sqlite_job.core import jobs\nfrom .runner import run_job"),
    (edge_imports, "cli/main.py", "from sqlite_job import Worker\nfrom sqlite_job.inspection import Inspector"),
    (telemetry_imports, "worker.py", "from sqlite_job.telemetry import sentences"),
    (telemetry_imports, "telemetry/metrics.py", "from . import sentences"),
    (helper_imports, "__init__.py", "from sqlite_job.testing.failpoints import install"),
    (helper_imports, "testing/draining.py", "from sqlite_job.worker import Worker\nfrom . import clocks"),
    (helper_imports, "testing/failpoints.py", "from sqlite_job.storage import sqlite_connection"),
    (helper_imports, "testing/inline_worker.py", "from sqlite_job.storage.interface import Wanted"),
    (status_writes, "storage/sql/job.py", "from sqlalchemy import update\nupdate(job).values(status='running')"),
    (status_writes, "storage/base.py", "seen.update(status=1)\ncounts.values()\nrows.insert(0, row)"),
    (status_writes, "storage/base.py", "text('UPDATE job SET tries = 1 WHERE status = :status')"),
    (status_writes, "storage/base.py", '"""Set the status = pending."""'),
    (unpickling, "storage/base.py", "import pickle\npickle.dumps(1)\ncodec.loads(b'')"),
    (opened_files, "storage/files.py", "import os\nos.open('jobs.db-lock', os.O_RDWR)"),
    (opened_files, "cli/main.py", "open('report.txt')"),
    (time_asked, "core/clock.py", "import time\ntime.sleep(1)"),
    (time_asked, "engine/engine.py", "clock.now()\nstop.wait(1)\nself.time.sleep(1)"),
    (annotations_import, "core/__init__.py", '"""Words and rules."""'),
    (annotations_import, "core/jobs.py", '"""Jobs."""\nfrom __future__ import annotations\nimport os'),
    (size_and_name, "core/jobs.py", "\n" * MOST_LINES),
]


@pytest.mark.parametrize(("check", "path", "source"), BREAKS)
def test_a_rule_sees_what_breaks_it(check: Check, path: str, source: str) -> None:
    assert list(check(Module(path, source)))


@pytest.mark.parametrize(("check", "path", "source"), KEEPS)
def test_a_rule_lets_pass_what_keeps_it(check: Check, path: str, source: str) -> None:
    assert not list(check(Module(path, source)))
