"""Run the command line as `python -m sqlite_job`."""

from __future__ import annotations

from sqlite_job.cli import main

if __name__ == "__main__":
    main()
