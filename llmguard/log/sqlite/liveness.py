"""Which process a call belongs to, and whether that process is gone.

A process is named by its kernel's boot id, its PID namespace, its PID and its start time, so that a reused PID is not
taken for the process that had it before. There is no heartbeat: the kernel knows which processes live.

What counts as gone:

- another boot id: gone. SQLite's WAL is shared memory, so all processes that have a log open run on one kernel.
- the same PID namespace: gone if there is no such process, if it is a zombie, or if it started at another time.
- another PID namespace (another container): unknown, as its processes cannot be seen from here. Such calls stay
  `running` until a process of that container opens the log, or until `OutcomeLog.mark_interrupted(foreign_before=...)`.
- without /proc (macOS): gone if the PID is free. A reused PID hides a death; it never marks a live call.
- on Windows: unknown, because `os.kill(pid, 0)` would send a Ctrl-C there.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path


def this_process() -> str:
    """The owner of the calls that begin in this process: `boot/namespace/pid/start`."""
    return _owner(os.getpid())


def is_gone(owner: str) -> bool:
    """Whether the process of this name is certainly gone. False where that cannot be known."""
    boot, namespace, pid, start = _parts(owner)
    if not pid or owner == this_process():
        return False
    if boot != _boot_id():
        return bool(boot and _boot_id())
    return namespace == _pid_namespace() and _has_ended(pid, start)


def is_foreign(owner: str) -> bool:
    """Whether the process runs where it cannot be seen from here."""
    boot, namespace, _, _ = _parts(owner)
    return boot == _boot_id() and namespace != _pid_namespace()


def _parts(owner: str) -> tuple[str, str, int, str]:
    boot, namespace, pid, start = (owner.split("/") + [""] * 4)[:4]
    return boot, namespace, int(pid) if pid.isascii() and pid.isdigit() else 0, start


@cache
def _owner(pid: int) -> str:
    return f"{_boot_id()}/{_pid_namespace()}/{pid}/{_start_of(pid) or ''}"


def _has_ended(pid: int, start: str) -> bool:
    if not start:
        return _pid_is_free(pid)
    return _start_of(pid) != start


def _start_of(pid: int) -> str | None:
    """Clock ticks from boot to the start of a process (proc(5), field 22); None where none runs, or it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return None if fields[0] in "ZX" else fields[19]


def _pid_is_free(pid: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # there is one, of another user
        return False
    return False


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def _pid_namespace() -> str:
    """The inode of the namespace, as in `pid:[4026531836]`."""
    try:
        return os.readlink("/proc/self/ns/pid").rpartition("[")[2].rstrip("]")
    except OSError:
        return ""
