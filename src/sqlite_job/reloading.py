"""See that source files have changed, for `sqlite-job worker --reload`."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Dict, List

logger = logging.getLogger("sqlite_job")


class ChangedFiles:
    """Tells when a Python file below a folder has changed; for development."""

    def __init__(self, folder: Path) -> None:
        """Remember how the files are now."""
        self._folder = folder
        self._seen = self._look()

    def __call__(self) -> bool:
        """Whether something has changed since the last call."""
        found = self._look()
        changed = [path for path in {*found, *self._seen} if found.get(path) != self._seen.get(path)]
        self._seen = found
        if changed:
            logger.info("Reloading: %s changed", ", ".join(sorted(path.name for path in changed)[:5]))
        return bool(changed)

    def _look(self) -> Dict[Path, int]:
        found: Dict[Path, int] = {}
        for path in _python_files(self._folder):
            with suppress(OSError):
                found[path] = path.stat().st_mtime_ns
        return found


def _python_files(folder: Path) -> List[Path]:
    files: List[Path] = []
    for place, folders, names in os.walk(folder):
        # Virtual environments, caches and version control: large, and not the user's code.
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__")) and not (Path(place) / name / "pyvenv.cfg").exists()
        ]
        files += [Path(place) / name for name in names if name.endswith(".py")]
    return files
