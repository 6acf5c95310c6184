"""What a process that runs strangers' bytes may take: declared by its parent, applied by itself."""

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

NICENESS = 10  # of 19: who answers single predictions has the processor first
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION = 0x20080522
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE_BYTES, RETAINED_BYTES = (
    4 << 20,
    16 << 20,
)  # what is given back at once, and what is retained at most
UNKNOWN_BYTES = 1 << 30  # of address space, where nobody says how much is taken


@dataclass(frozen=True)
class Limits:
    """What one process may take, and which settings say so in messages.

    `memory_bytes` are what it may take beside its libraries, `file_bytes` the largest file that it
    may write (0: none), `reply_bytes` the longest reply to one call. `spawning` lets it have more
    threads after its start, and more processes too, where the system does not tell them apart.
    """

    memory_bytes: int
    memory_setting: str
    seconds_setting: str
    file_bytes: int = 0
    reply_bytes: int = 256 << 20
    open_files: int = 64
    spawning: bool = False


def apply(limits: Limits) -> None:
    """Limit this process for good; what it has imported by now counts as its libraries."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which ends us
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    lower(resource.RLIMIT_NOFILE, limits.open_files)
    lower(resource.RLIMIT_AS, occupied_bytes() + limits.memory_bytes)
    if not limits.spawning:
        lower(resource.RLIMIT_NPROC, 0)  # root is beyond this limit
    drop_privileges()


def lower(kind: int, most: int) -> None:
    """Lower a limit of this process, for good."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def occupied_bytes() -> int:
    """Return the address space that this process has already, for its libraries."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except OSError:  # not Linux
        return UNKNOWN_BYTES
    return pages * resource.getpagesize()


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, whatever it is at then."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def reuse_memory() -> None:
    """Let this process keep some of what it frees, for what it takes next; in glibc.

    Else each part of a batch, of a megabyte, is given back to the system and taken from it again
    page by page, which takes as long as a fifth of what is computed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, RETAINED_BYTES)


def hide() -> None:
    """Keep the memory and the environment of this process from others of the same user.

    They could be read below /proc otherwise, by a process that a stranger's graph has taken over.
    Inherited by `fork`, not by what is executed.
    """
    prctl(PR_SET_DUMPABLE, 0)


def drop_privileges() -> None:
    """Give up what root may do beyond any other user, such as to look into hidden processes."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capabilities cannot be dropped: {os.strerror(number)}")


def prctl(option: int, value: int) -> None:
    """Set a property of this process; where there is no Linux there is none."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
