"""What the machine gives this process."""

import getpass
import os
import tempfile


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
