"""The exceptions whose message is all that a user needs."""


class InputError(ValueError):
    """Something the user gave does not fit: the message says what was found, what is allowed and what to do next.

    The command line prints the message alone and exits with status 2.
    """


class StoppedError(RuntimeError):
    """A run was stopped on purpose: the message says why, and how to go on.

    The command line prints the message alone and exits with status 1.
    """
