"""What lies below a path: read from texts as Linux writes them, and refused where locks do not hold."""

from __future__ import annotations

import pytest

from sqlite_job import DatabaseUnavailableError, SQLiteJob, WorkerSettings
from sqlite_job.core.errors import DatabaseUnusableError
from sqlite_job.storage import filesystem
from sqlite_job.storage.filesystem import Mount, find_mount, is_shared, mount_of, parse_mounts
from sqlite_job.storage.opening import open_storage
from tests.storage.making import new_job

# /sys and /proc come before the root they are mounted on: an initial RAM disk mounted and then moved them.
DESKTOP = """\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
29 28 0:24 / /run rw,nosuid,nodev shared:2 master:5 propagate_from:3 - tmpfs tmpfs rw,size=1623440k
30 28 0:45 / /home/ada rw,relatime - nfs4 server.example:/export/ada rw,vers=4.2
31 30 8:17 / /home/ada/local rw - xfs /dev/sdb1 rw
32 28 0:50 / /media/My\\040Disk rw,nosuid - fuseblk /dev/sdc1 rw,user_id=0
33 28 0:51 / /mnt/back\\134slash\\011tab rw - cifs //server/share\\040name rw
34 28 259:2 /srv/real /srv/bound rw,relatime - ext4 /dev/nvme0n1p2 rw
35 28 0:60 / /srv/empty rw -  rw
"""

CONTAINER = """\
700 650 0:300 / / rw,relatime master:300 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d
701 700 0:301 / /proc rw - proc proc rw
702 700 0:302 / /dev rw - tmpfs tmpfs rw
703 700 254:1 /var/lib/docker/volumes/jobs/_data /data rw,relatime master:1 - ext4 /dev/vda1 rw
704 700 0:44 / /host rw,relatime - virtiofs virtiofs0 rw
705 700 254:1 /srv/jobs.db /app/jobs.db rw,relatime - ext4 /dev/vda1 rw
"""

# First /a/b was mounted, then something else on /a: what was on /a/b cannot be reached any more.
HIDDEN = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:9 / /a/b rw - nfs server:/ rw
3 1 8:2 / /a rw - ext4 /dev/sda2 rw
4 3 8:3 / /a rw - xfs /dev/sda3 rw
"""


def kind_of(path, text):
    found = mount_of(path, list(parse_mounts(text)))
    return found and found.kind


def test_a_line_is_read_with_its_escapes():
    mounts = {mount.id: mount for mount in parse_mounts(DESKTOP)}
    assert mounts[28] == Mount(28, 1, "/", "ext4", "/dev/nvme0n1p2")
    assert mounts[29].kind == "tmpfs"
    assert mounts[32].point == "/media/My Disk"
    assert mounts[33] == Mount(33, 28, "/mnt/back\\slash\ttab", "cifs", "//server/share name")


def test_what_is_not_a_mount_is_left_out():
    assert list(parse_mounts("")) == []
    assert list(parse_mounts("nonsense\n1 2 3\n- - - - - - -\n")) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/jobs.db", "ext4"),
        ("/run/jobs.db", "tmpfs"),
        ("/runner/jobs.db", "ext4"),
        ("/home/ada/jobs.db", "nfs4"),
        ("/home/ada/local/jobs.db", "xfs"),
        ("/home/ada/locally/jobs.db", "nfs4"),
        ("/media/My Disk/jobs.db", "fuseblk"),
        ("/srv/bound/jobs.db", "ext4"),
    ],
)
def test_the_innermost_mount_counts(path, kind):
    assert kind_of(path, DESKTOP) == kind


@pytest.mark.parametrize(
    ("path", "kind"), [("/app/other.db", "overlay"), ("/data/jobs.db", "ext4"), ("/host/x/jobs.db", "virtiofs")]
)
def test_a_containers_root_needs_no_parent(path, kind):
    assert kind_of(path, CONTAINER) == kind


def test_a_mount_that_is_hidden_below_another_does_not_count():
    assert kind_of("/a/b/jobs.db", HIDDEN) == "xfs"


def test_without_a_root_that_can_be_seen_nothing_is_known():
    assert kind_of("/elsewhere/jobs.db", "5 4 0:1 / /proc rw - proc proc rw\n") is None


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "lustre", "fuse", "fuse.sshfs", "fuse.glusterfs"]
)
def test_network_and_virtual_file_systems_are_shared(kind):
    assert is_shared(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs", "apfs"]
)
def test_local_file_systems_are_not(kind):
    assert not is_shared(kind)


@pytest.mark.skipif(not filesystem.read_of_system("/proc/self/mountinfo"), reason="only Linux tells its mounts")
def test_the_mount_of_a_real_folder_is_found(tmp_path):
    assert find_mount(str(tmp_path / "jobs.db")) is not None
    assert find_mount("/proc/jobs.db").kind == "proc"


@pytest.fixture
def on_nfs(monkeypatch, path):
    """Let the system say that the folder of the test is on a network."""
    folder = path.rpartition("/")[0]
    text = f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {folder} rw - nfs4 server:/jobs rw\n"
    monkeypatch.setattr(filesystem, "read_of_system", lambda path: text)


def test_a_database_on_a_network_is_refused_and_not_made(on_nfs, path, tmp_path):
    with pytest.raises(
        DatabaseUnavailableError, match=r"lies on nfs4 \(server:/jobs\).*allow_network_fs = True"
    ) as met:
        SQLiteJob(database=path).enqueue("add", 1, 2)
    assert isinstance(met.value, DatabaseUnusableError)
    assert list(tmp_path.iterdir()) == []


def test_who_knows_better_can_allow_it(on_nfs, path, monkeypatch):
    class Settings(WorkerSettings):
        functions = [print]
        database = path
        allow_network_fs = True

    for jobs in (SQLiteJob("default", Settings()), SQLiteJob(database=path, allow_network_fs=True)):
        jobs.enqueue("print")
        jobs.close()
    monkeypatch.setenv("SQLITE_JOB_ALLOW_NETWORK_FS", "1")
    jobs = SQLiteJob(database=path)
    jobs.enqueue("print")
    jobs.close()


def test_a_database_file_that_is_mounted_without_its_folder_is_refused(monkeypatch, path):
    text = f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /srv/jobs.db {path} rw - ext4 /dev/sda1 rw\n"
    monkeypatch.setattr(filesystem, "read_of_system", lambda path: text)

    storage = open_storage(path, "full", allow_network_fs=True)
    with pytest.raises(DatabaseUnusableError, match="mount the folder instead"):
        storage.enqueue([new_job()])
