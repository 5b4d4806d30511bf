"""Less in the log for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger


@contextmanager
def log_from(level: int) -> Iterator[None]:
    """mmengine's current logger says nothing below `level`.

    Not by `logging.disable`: mmengine's loggers remember a disabled level after its end.
    """
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
