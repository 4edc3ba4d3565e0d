"""Name the revision of the tables that this version reads and writes."""

from __future__ import annotations

# The newest revision in migrations/versions (a test holds them together).
HEAD = "0004"

VERSION_TABLE = "sqlitejob_version"
