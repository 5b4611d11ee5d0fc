"""Whether this machine is fit to record unattended: what is looked at, what was found, what to do.

Rule: nothing is changed and nobody is asked. What cannot be seen from here is said as that, and is no finding.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdtool.capture.timekeeping import KernelClock, kernel_clock
from mdtool.clock import DAY, SECOND
from mdtool.errors import MdtoolError
from mdtool.service.readings import Reading, Readings
from mdtool.storage.format.layout import Location
from mdtool.storage.store import Store
from mdtool.units import count, format_duration, format_size

SHM = Path("/dev/shm")
CONTAINERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
GOVERNORS = "cpu[0-9]*/cpufreq/scaling_governor"
CPUS = Path("/sys/devices/system/cpu")
FILES_A_FEED = 8  # descriptors of a feed that is recorded, generously
FILES_BESIDE = 100
LARGEST_ERROR_NS = SECOND // 10  # of the clock, before times are worth little
SOON_NS = 7 * DAY  # a disk that is full within this is a finding
OTHERS_MAY = 0o022  # write: group and others


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `todo`: what to do about it; none where it is as it should be."""

    what: str
    found: str
    todo: str | None = None
    seen: bool = True  # False: it could not be looked at from here

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "found": self.found, "ok": self.todo is None, "seen": self.seen, "todo": self.todo}


def checkup(store: Store, now_ns: int) -> Iterator[Check]:
    """Everything but the network, in the order people think of it."""
    yield files(len(store.feeds()))
    yield shared_memory(_needed_in_memory(store))
    yield clock(kernel_clock())
    yield governor()
    yield permissions(store.path)
    yield from _room(store, now_ns)


def files(feeds: int) -> Check:
    """How many files this user may have open, against what the store's feeds take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = feeds * FILES_A_FEED + FILES_BESIDE
    if hard == resource.RLIM_INFINITY or hard >= needed:
        most = "any number of" if hard == resource.RLIM_INFINITY else f"{hard:,}"
        return Check("open files", f"{most} allowed, {count(feeds, 'feed')} may take {needed:,}")
    return Check(
        "open files", f"{hard:,} allowed, {count(feeds, 'feed')} may take {needed:,}",
        "raise the hard limit: LimitNOFILE= of a service, ulimit -Hn of a shell, or record fewer feeds",
    )  # fmt: skip


def shared_memory(needed: int, directory: Path = SHM) -> Check:
    """Whether there is room in shared memory for the chunks that are kept there."""
    inside = any(path.exists() for path in CONTAINERS)
    share = "; start the container with --ipc=host, or --shm-size, or mount the host's /dev/shm" if inside else ""
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        todo = f"mount a tmpfs there that this user may write to{share}" if needed else None
        return Check("shared memory", f"{directory} cannot be written to", todo)
    room = shutil.disk_usage(directory)
    found = f"{format_size(room.free)} of {format_size(room.total)} free in {directory}"
    if inside:
        found += ", in a container: programs outside see it only where it is shared"
    if room.free < needed:
        todo = f"make it larger (mount -o remount,size=...), or record to disk: --live disk{share}"
        return Check("shared memory", f"{found}; feeds kept there need {format_size(needed)} more", todo)
    return Check("shared memory", found)


def _needed_in_memory(store: Store) -> int:
    """A chunk that is written and the next one, of each feed whose chunks are kept there."""
    return sum(2 * feed.chunk_bytes for feed in store.feeds() if feed.live is Location.SHM)


def clock(said: KernelClock | None) -> Check:
    """Whether the machine's clock is kept right."""
    if said is None:
        return Check("clock", "the kernel does not tell", seen=False)
    error = format_duration(said.max_error_ns)
    keep = "have chrony, ntpd or systemd-timesyncd keep it (in a container: on the host); see: chronyc tracking"
    if not said.synchronised:
        return Check("clock", f"not synchronised; it may be off by {error}", keep)
    if said.max_error_ns > LARGEST_ERROR_NS:
        return Check("clock", f"synchronised, and may be off by {error}", keep)
    return Check("clock", f"synchronised, off by {error} at most")


def governor(cpus: Path = CPUS) -> Check:
    """Whether the processors are clocked down between messages, which the first of a burst pays for."""
    found = sorted({_first_line(path) for path in cpus.glob(GOVERNORS)} - {""})
    if not found:
        return Check("processor", f"{os.cpu_count()} CPUs; who sets their clock cannot be seen", seen=False)
    if found == ["performance"]:
        return Check("processor", f"{os.cpu_count()} CPUs, governor performance")
    return Check(
        "processor", f"{os.cpu_count()} CPUs, governor {', '.join(found)}: the first message of a burst is late",
        "cpupower frequency-set -g performance, where microseconds matter",
    )  # fmt: skip


def permissions(path: Path) -> Check:
    """Whether this user may write the store, and no other."""
    status = path.stat()
    if not os.access(path, os.W_OK | os.X_OK):
        return Check("permissions", f"{path} cannot be written to by this user", "record as its owner")
    if status.st_mode & OTHERS_MAY:
        return Check(
            "permissions", f"{path} can be written to by others (mode {status.st_mode & 0o777:o})", f"chmod go-w {path}"
        )
    return Check("permissions", f"{path} is this user's to write")


def _room(store: Store, now_ns: int) -> Iterator[Check]:
    """The disk against what is being recorded, and what is wrong with that."""
    try:
        with Readings(store) as readings:
            first = readings.take(now_ns)
            reading = first if not any(one.alive for one in first.recorders) else _again(readings, now_ns)
    except MdtoolError as error:
        yield Check("recorders", str(error), "run: mdtool verify")
        return
    free = f"{format_size(reading.free_bytes)} free"
    if reading.full_in_ns is None:
        yield Check("disk", f"{free}; nothing is being recorded, so nobody knows for how long")
    else:
        lasts = f"{free}, full in {format_duration(reading.full_in_ns // (60 * SECOND) * 60 * SECOND)} at this rate"
        soon = reading.full_in_ns < SOON_NS
        yield Check("disk", lasts, "give feeds a retention: mdtool registry set FEED max-bytes=..." if soon else None)
    for recorder in reading.recorders:
        if not recorder.alive and not recorder.graceful:
            yield Check(f"recorder {recorder.name}", f"ended: {recorder.ended}", "start it again: mdtool record")
    troubled = [feed for feed in reading.feeds if feed.in_trouble]
    for feed in troubled[:10]:
        yield Check(feed.feed, feed.state.value, "see: mdtool status")
    if len(troubled) > 10:
        yield Check("feeds", f"{len(troubled) - 10:,} more in trouble", "see: mdtool status")


def _again(readings: Readings, now_ns: int) -> Reading:
    time.sleep(1.0)  # a rate takes two looks
    return readings.take(now_ns + SECOND)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
