"""Measure sqlite_job against a hand-written sqlite3 loop on the same schema, in the same run."""

from __future__ import annotations
