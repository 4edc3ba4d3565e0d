"""End when the parent process does."""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, number: int) -> bool:
    """Have the kernel send this process a signal when its parent ends; False when `parent` has ended already.

    On Linux only. The parent is the thread that started this process, which must live as long as the other is to.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent
