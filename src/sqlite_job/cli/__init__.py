"""The command line `sqlite-job`: it uses the doors only, and never decodes what a job was given or returned."""

from __future__ import annotations

from sqlite_job.cli.program import main

__all__ = ["main"]
