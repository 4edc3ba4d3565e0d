"""Store new jobs in one statement that is a transaction by itself; for databases that have arrays."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, case, cast, func, insert, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from sqlite_job.storage.sql.job import NULL, PENDING, SCHEDULED
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, payload

# In the order of NewJob.
_JOB = ("id", "queue", "function", "priority", "created_at", "run_at", "max_tries", "timeout")
_PAYLOAD = ("codec", "args", "preview", "tags", "meta")


class _next_seq(ColumnElement[int]):  # noqa: N801 - reads as a function in the statement
    """The next number of a job."""

    inherit_cache = False
    type = BigInteger()


@compiles(_next_seq, "postgresql")
def _next_seq_postgresql(_element: _next_seq, compiler: SQLCompiler, **_options: Any) -> str:
    # By hand: SQLAlchemy writes the schema into the text as it is, and one may have an apostrophe.
    schema = getattr(compiler.dialect, "schema_of_jobs", None)
    prefix = "" if schema is None else compiler.preparer.quote(schema) + "."
    return f"nextval('{prefix.replace(chr(39), chr(39) * 2)}sqlitejob_job_seq_seq')"


_columns = {**{name: job.c[name] for name in _JOB}, **{name: payload.c[name] for name in _PAYLOAD}}

_rows = (
    func.unnest(*[cast(given(name), ARRAY(column.type)) for name, column in _columns.items()])
    .table_valued(*_columns)
    .render_derived("given")
)

# Numbered in the order in which they were given.
_numbered = select(_next_seq().label("seq"), *_rows.c).cte("numbered")

_status: Any = case((_numbered.c.run_at.is_(NULL), PENDING), else_=SCHEDULED)

_stored = (
    insert(job)
    .from_select(
        ["seq", *_JOB, "status"],
        select(_numbered.c.seq, *(_numbered.c[name] for name in _JOB), _status),
        include_defaults=False,
    )
    .cte("stored")
)

_kept = (
    insert(payload)
    .from_select(["seq", *_PAYLOAD], select(_numbered.c.seq, *(_numbered.c[name] for name in _PAYLOAD)))
    .cte("kept")
)

# And notify idle workers. Whatever the SELECT says, both INSERTs are carried out.
AT_ONCE = Statement(
    select(func.pg_notify(given("channel"), literal_column("''"))).add_cte(_stored, _kept),
    *names(*_columns, "channel"),
)
