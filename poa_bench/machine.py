"""What the machine gives this process."""

import getpass
import os
import resource
import tempfile

from poa_bench.errors import InputError

_OTHER_FILES = 256  # that a process has open beside those that it asks for


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def allow_open_files(count: int) -> None:
    """Let this process have so many more files open at once, as far as the machine lets it.

    Raises:
        InputError: it does not.
    """
    needed, (now, most) = count + _OTHER_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY or now >= needed:
        return
    if most != resource.RLIM_INFINITY and most < needed:
        raise InputError(f"{needed} open files are needed, and this machine allows {most}: raise it with `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def complete_user() -> None:
    """Give a user without a name or a home both: a container may run under a number, and libraries ask for them."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
    if os.path.expanduser("~") == "~":
        home = os.path.join(tempfile.gettempdir(), f"home-of-user-{os.getuid()}")
        os.makedirs(home, mode=0o700, exist_ok=True)
        os.environ["HOME"] = home
