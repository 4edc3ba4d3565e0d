"""Install what can be had of a list of requirements, one by one: the fallback when pip refuses the list as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(path: str) -> None:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        requirement = line.partition("#")[0].strip()
        if not requirement:
            continue
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", requirement]
        if subprocess.run(command, check=False).returncode != 0:
            print(f"LEFT OUT: pip cannot install {requirement}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
