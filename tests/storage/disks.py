"""Real disks that are small enough to be filled."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import pytest

from sqlite_job.storage.opening import locate


class Disk:
    """A file system of a few megabytes; a ballast file takes what it has left."""

    def __init__(self, folder):
        self.folder = folder
        self.path = locate(folder / "jobs.db")
        self._ballast = folder / "ballast"

    def free(self):
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def leave(self, size):
        """Leave only this much room, or make as much again; others may write meanwhile."""
        kept = self._ballast.stat().st_size if self._ballast.exists() else 0
        wanted = max(kept + self.free() - size, 0)
        with self._ballast.open("ab", buffering=0) as ballast:
            ballast.truncate(min(wanted, kept))
            with suppress(OSError):  # somebody else had the last of it
                while kept < wanted:
                    kept += ballast.write(b"\0" * (wanted - kept))


def mounted_disk(folder, size):
    """Yield a Disk of `size` bytes, and unmount it at the end; skips, and says why, where that needs rights."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a full disk needs a small one, and only root can mount it: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
