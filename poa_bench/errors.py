"""The one exception for bad input."""


class InputError(ValueError):
    """Something the user gave does not fit: the message says what was found, what is allowed and what to do next.

    The command line prints the message alone and exits with status 2.
    """
