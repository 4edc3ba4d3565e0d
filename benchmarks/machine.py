"""Say on what the figures were measured: they mean nothing without."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import datetime, timezone
from typing import Dict, Union

from benchmarks.child import ROOT

Facts = Dict[str, Union[str, int]]


def describe() -> Facts:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpus": os.cpu_count() or 0,
        "processor": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "commit": _commit(),
        "load before": f"{load():.1f}",
    }


def load() -> float:
    """Return how many programs wanted a CPU in the last minute, 0 where that is not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.check_output(command, cwd=str(ROOT), stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
