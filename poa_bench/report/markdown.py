"""Names from elsewhere in Markdown: they stay in their cell and are no markup."""

import re
from typing import Any

import pandas as pd

_MARKUP = re.compile(r"[|<`]")
_SHOWN_AS = {"|": "\\|", "<": "&lt;", "`": "'"}


def inline(value: Any) -> str:
    r"""A value in one line of text, of which nothing ends a table's cell or begins HTML or code.

    >>> inline("a|b <script> `x`\nc")
    "a\\|b &lt;script> 'x' c"
    """
    return _MARKUP.sub(lambda found: _SHOWN_AS[found[0]], " ".join(str(value).split("\n")))


def table(frame: pd.DataFrame) -> str:
    """A table as text."""
    shown = frame.map(lambda value: inline(value) if isinstance(value, str) else value)
    return shown.rename(columns=inline).to_markdown(index=False, disable_numparse=True)
