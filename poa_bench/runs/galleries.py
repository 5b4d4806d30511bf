"""What numbers mean, in small pictures: a run keeps a few of them in `gallery.json` beside its `result.json`.

A gallery has one row for each of a handful of test pictures, the same for all sizes and seeds. A task fills it while it
measures, from what it has anyway; everything else shows it and knows no task by name.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from poa_bench.errors import InputError
from poa_bench.files import sha256_file, write_text
from poa_bench.runs.beside import check_sha256, copy_beside

GALLERY_FILE = "gallery.json"
HANDFUL = 4  # test pictures
PICTURE_BYTES = 10_000  # of one encoded picture
FILE_BYTES = 300_000  # of all galleries of a run, in their file; those of the package have some tens of kB
MISSING = "gallery_missing"  # the fact that says why there is none
_LONGEST = 300  # letters of it

Line = Annotated[str, Field(max_length=500)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class Picture(_Kept):
    """One small picture and what it shows.

    Attributes:
        data: a WebP file of at most `PICTURE_BYTES`, as `poa_bench.downstream.drawing` encodes it.
        caption: a line below it; empty for none.
        legend: what its colours mean, `{"dog": "#1f77b4"}`.
    """

    data: Annotated[bytes, Field(max_length=PICTURE_BYTES)]
    caption: Line = ""
    legend: Annotated[dict[Line, Colour], Field(max_length=64)] = {}

    @field_validator("data")
    @classmethod
    def _is_webp(cls, data: bytes) -> bytes:
        if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
            raise ValueError("it is no WebP file")
        return data

    @property
    def uri(self) -> str:
        """The picture as a `data:` address, for a page."""
        return f"data:image/webp;base64,{base64.b64encode(self.data).decode()}"


class Row(_Kept):
    """One test picture: its `name` in the data, what is true of it, and what the run found."""

    name: Line
    truth: Picture
    found: Picture


class Gallery(_Kept):
    """One way to look at test pictures.

    Attributes:
        name: such as `Boxes and masks`; galleries of one protocol and name are one table of the report.
        truth: what stands above the column of what is true, such as `annotation`.
        about: one or two sentences: how to read it.
        rows: of the handful of test pictures, in their order.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    truth: Line
    about: Annotated[str, Field(max_length=1000)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1, max_length=2 * HANDFUL)]


class Galleries(_Kept):
    """The galleries of a run: the contents of the file."""

    galleries: Annotated[tuple[Gallery, ...], Field(max_length=8)]


@dataclass(frozen=True)
class GalleryFile(Sequence):
    """Galleries of a file, read when they are asked for.

    Attributes:
        path: of the file.
        sha256: of its contents, as the result says it.

    Raises:
        InputError: on first use, where the file is missing, is not the result's, or holds no galleries.
    """

    path: Path
    sha256: str

    @cached_property
    def _galleries(self) -> tuple[Gallery, ...]:
        return read_galleries(self.path, self.sha256)

    def __getitem__(self, place):
        return self._galleries[place]

    def __len__(self) -> int:
        return len(self._galleries)


def handful(count: int) -> list[int]:
    """Positions of the test pictures that galleries show: the middles of equal parts of the split, ascending.

    >>> handful(100)
    [12, 37, 62, 87]
    """
    shown = min(count, HANDFUL)
    return [(2 * place + 1) * count // (2 * shown) for place in range(shown)]


@contextmanager
def without_harm(facts: dict[str, str | int | float]) -> Iterator[None]:
    """An error while galleries are made does not end the measurement: it is logged in full, and `facts` say why."""
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).warning("there will be no gallery", exc_info=error)
        facts.setdefault(MISSING, f"{type(error).__name__}: {error}"[:_LONGEST])


def checked(galleries: Sequence[Gallery], facts: dict[str, str | int | float]) -> Sequence[Gallery]:
    """Those that a result may keep: all of them, or none with a word in `facts` where they are too large."""
    if isinstance(galleries, GalleryFile) or not galleries:
        return galleries
    with without_harm(facts):
        _text(galleries)
        return galleries
    return ()


def _text(galleries: Sequence[Gallery]) -> str:
    text = Galleries(galleries=tuple(galleries)).model_dump_json()
    if len(text) > FILE_BYTES:
        raise InputError(
            f"galleries of a run have {len(text)} bytes, and may have {FILE_BYTES}: show fewer or smaller pictures"
        )
    return text


def write_galleries(galleries: Sequence[Gallery], path: Path) -> str | None:
    """Write galleries whole or not at all; those of another file are copied.

    Returns:
        SHA-256 of the file, None where there are no galleries (and no file).

    Raises:
        InputError: they are larger than `FILE_BYTES`.
    """
    if isinstance(galleries, GalleryFile):
        copy_beside(galleries.path, path)
        return galleries.sha256
    if not galleries:
        return None
    return sha256_file(write_text(path, _text(galleries)))


def read_galleries(path: Path, sha256: str | None = None) -> tuple[Gallery, ...]:
    """The galleries of a file.

    Args:
        path: the file.
        sha256: what its contents must be; not asked where it is None.

    Raises:
        InputError: it cannot be read, is another file, or holds no galleries.
    """
    try:
        if (size := path.stat().st_size) > 2 * FILE_BYTES:
            raise InputError(f"{path} has {size} bytes, more than galleries of a run may have: copy it again")
        check_sha256(path, sha256)
        return Galleries.model_validate_json(path.read_bytes()).galleries
    except (OSError, ValidationError) as error:
        # pydantic says below its first line where the first fault is, and what it is
        reason = ": ".join(str(error).splitlines()[1:3]) if isinstance(error, ValidationError) else error
        raise InputError(
            f"{path} holds no galleries that can be read: {reason}; copy it again, or run again"
        ) from error
