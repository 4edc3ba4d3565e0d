"""Empty a database of what tests have left in it, faster than one could make a new one."""

from __future__ import annotations

import time

import psycopg

END_SECONDS = 5.0
# A backend that another test left waits for its client, perhaps with locks.
END_THE_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

# TRUNCATE makes a new file for the table and each of its indexes: so only for a table that was written to, which has
# a file that is not empty, or gave out a number. Everything that is not ours was made by a test, and goes.
EMPTY = r"""
DO $$
DECLARE
    ours CONSTANT text := 'sqlitejob\_%';
    one record;
    written text;
BEGIN
    SET LOCAL client_min_messages = warning;
    SET LOCAL lock_timeout = '5s';
    FOR one IN
        SELECT nspname FROM pg_namespace
        WHERE nspname NOT IN ('public', 'information_schema') AND nspname NOT LIKE 'pg\_%'
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', one.nspname);
    END LOOP;
    FOR one IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE ours
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS public.%I CASCADE', one.relname);
    END LOOP;
    SELECT string_agg(format('public.%I', relname), ', ') INTO written FROM pg_class AS t
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND relname LIKE ours AND relname <> 'sqlitejob_version'
      AND (relkind = 'p' OR pg_relation_size(t.oid) > 0 OR EXISTS (
        SELECT FROM pg_sequence JOIN pg_depend ON objid = seqrelid AND classid = 'pg_class'::regclass
        WHERE refobjid = t.oid AND refclassid = 'pg_class'::regclass AND pg_sequence_last_value(seqrelid) IS NOT NULL
      ));
    IF written IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || written || ' RESTART IDENTITY CASCADE';
    END IF;
END $$
"""


class Cleaner:
    """A connection to one database that empties it again and again."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection = self._connect()

    def clean(self) -> None:
        """End all other connections, and remove what tests have left but the version of the schema."""
        try:
            self._clean()
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            # A test ended all connections, and so this one.
            self._connection = self._connect()
            self._clean()

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._conninfo, autocommit=True, application_name="cleaner of the tests")

    def _clean(self) -> None:
        self._end_the_others()
        self._connection.execute(EMPTY)

    def _end_the_others(self) -> None:
        # pg_terminate_backend can wait by itself, but looks only each 100 ms.
        deadline = time.monotonic() + END_SECONDS
        while self._connection.execute(END_THE_OTHERS).rowcount:
            if time.monotonic() > deadline:
                raise TimeoutError(f"connections that other tests have left did not end within {END_SECONDS:.0f} s")
            time.sleep(0.001)
