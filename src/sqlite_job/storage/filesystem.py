"""Know the file system below a path, and refuse the database where its locks do not hold.

On a network or a shared folder the others that have the file open are on another machine, or behind another kernel:
neither file locks nor the shared memory of the journal reach them, and the file is damaged in the end. Linux tells in
/proc/self/mountinfo what lies where; elsewhere nothing is known, and nothing is refused.
"""

from __future__ import annotations

import os
import re
from typing import Iterator, List, NamedTuple, Optional

from sqlite_job.core.errors import DatabaseUnusableError
from sqlite_job.storage.files import read_of_system

_MOUNTS = "/proc/self/mountinfo"

# Of other machines, or of the host of a virtual one; and all that is called fuse.something.
_SHARED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "gpfs", "beegfs"),
        *("gfs2", "ocfs2", "orangefs", "pvfs2", "glusterfs", "acfs", "wekafs", "fuse"),
        *("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "fakeowner", "osxfs", "grpcfuse"),
    }
)

# The root of a container that runs without privileges: one kernel, and the files are the container's own.
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs"})

# id, parent, device, root, mount point, options, any number of optional fields, a dash, type, source, more options.
_LINE = re.compile(r"(\d+) (\d+) \S+ \S+ (\S+) \S+(?: \S+)* - (\S+) (\S*)(?: .*)?")
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of mountinfo, as far as it matters here."""

    id: int
    parent_id: int
    point: str
    kind: str
    source: str


def check_filesystem(path: str, *, allow_network: bool) -> None:
    """Raise DatabaseUnusableError, with the mend, where the locks of a database at `path` would not hold.

    Takes 0.1 ms, so it is for the opening of a database only.
    """
    mount = find_mount(path)
    if mount is None:
        return
    if mount.point == path:
        message = (
            f"The database {path!r} is mounted by itself: its journal would lie in another place than the file, and "
            f"what is in it would be lost; mount the folder instead"
        )
        raise DatabaseUnusableError(message)
    if is_shared(mount.kind) and not allow_network:
        message = (
            f"The database {path!r} lies on {mount.kind} ({mount.source}): on a network file system or a shared folder "
            f"locks do not hold, and the file would be damaged; put it on a local disk. If only this machine ever "
            f"opens it: allow_network_fs = True in the settings, or SQLITE_JOB_ALLOW_NETWORK_FS=1"
        )
        raise DatabaseUnusableError(message)


def find_mount(path: str) -> Optional[Mount]:
    """Return what is mounted below an absolute path without symbolic links; None where the system does not tell."""
    # An automounter mounts at the first look.
    os.path.exists(os.path.dirname(path))
    return mount_of(path, list(parse_mounts(read_of_system(_MOUNTS))))


def is_shared(kind: str) -> bool:
    """Whether others than this kernel may have files of this kind of file system open."""
    return kind in _SHARED or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def parse_mounts(text: str) -> Iterator[Mount]:
    """Read the text of mountinfo (proc_pid_mountinfo(5)); a line that does not look like one is left out."""
    for line in filter(None, map(_LINE.fullmatch, text.split("\n"))):
        mount_id, parent_id, point, kind, source = line.groups()
        yield Mount(int(mount_id), int(parent_id), _unescaped(point), kind, _unescaped(source))


def mount_of(path: str, mounts: List[Mount]) -> Optional[Mount]:
    """Follow a path from mount to mount, as the kernel does: the longest mount point may lie hidden below another."""
    known = {mount.id for mount in mounts}
    on_the_way = [mount for mount in mounts if _is_below(path, mount.point)]
    # What is mounted on nothing that is listed: the root, or what can be seen of a container's or chroot's.
    entered = [mount for mount in on_the_way if mount.parent_id not in known or mount.parent_id == mount.id]
    found: Optional[Mount] = None
    while entered:
        found = min(entered, key=lambda mount: len(mount.point))
        entered = [mount for mount in on_the_way if mount.parent_id == found.id and mount.id != found.id]
    return found


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescaped(field: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 8)), field)
