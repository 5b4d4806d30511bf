"""Pictures without labels, of several places, for pre-training."""

import json
import logging
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from poa_bench.config_values import check_call
from poa_bench.datasets.classification import ImageDataset
from poa_bench.datasets.labels import readable
from poa_bench.datasets.selection import IMAGE_SUFFIXES, LeftOut, described, select
from poa_bench.datasets.sources import ImageSource, StoredSource, locate, open_store
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS

CLASSES = ("unlabelled",)


class JoinedSource:
    """The pictures of several sources, one source after the other, all of them with label 0.

    Args:
        sources: where they come from.
    """

    def __init__(self, sources: Sequence[ImageSource]):
        self.sources = list(sources)
        self.classes = CLASSES
        self.names = np.concatenate([source.names for source in sources])
        self.labels = np.zeros(len(self.names), np.int64)
        self.left_out: LeftOut = {
            reason: [name for source in sources for name in source.left_out.get(reason, ())]
            for reason in dict.fromkeys(reason for source in sources for reason in source.left_out)
        }
        self._ends = list(accumulate(len(source.names) for source in sources))

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        number = bisect_right(self._ends, position)
        return self.sources[number].read(position - (self._ends[number - 1] if number else 0))


def open_unlabelled(path: str, folder: str = "", coco_file: str | None = None) -> StoredSource:
    """Open the pictures of a folder or archive, whatever folders they lie in.

    Args:
        path: a folder, an uncompressed tar or a zip.
        folder: only pictures below this folder of it.
        coco_file: only those that this annotation file in COCO's format names (`images`), relative to ``folder``: the
            training split of a set whose pictures lie together.

    Raises:
        InputError: something is missing or does not fit; the message says what to do.
    """
    location, prefix = locate(path, folder)
    store = open_store(location, prefix)
    places, _, left_out = select(store, prefix, in_class_folders=False)
    if coco_file is not None:
        wanted = _pictures_of(Path(coco_file).expanduser(), prefix)
        places = places[np.isin(store.names[places], wanted)]
        if len(places) != len(wanted):
            missing = wanted[~np.isin(wanted, store.names[places])]
            raise InputError(
                f"{len(missing)} of the {len(wanted)} pictures in {coco_file} are not in {location}, e.g. "
                f"{readable(missing[0])}; check `folder`"
            )
    if not len(places):
        others = f" ({described(left_out)})" if left_out else ""
        raise InputError(
            f"there are no pictures below {readable(prefix) or 'the top'} of {location}{others}; expected files with "
            f"one of the endings {' '.join(IMAGE_SUFFIXES)}"
        )
    return StoredSource(store, places, np.zeros(len(places), np.int64), CLASSES, left_out)


def _pictures_of(coco_file: Path, prefix: bytes) -> np.ndarray:
    """The names of an annotation file's pictures in the store, each once."""
    try:
        images = json.loads(coco_file.read_bytes())["images"]
        names = sorted({prefix + os.fsencode(image["file_name"]) for image in images})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{coco_file} is not an annotation file in COCO's format ({type(error).__name__}: {error}); it needs "
            "`images`, each with a `file_name`"
        ) from error
    if not names:
        raise InputError(f"{coco_file} names no picture; give the annotation file of the split to train on")
    return np.array(names, "S")


@DATASETS.register_module()
class UnlabelledImages(ImageDataset):
    """Your own pictures without labels, of one place or of several, all of them alike to the pre-training.

    Args:
        sources: arguments of :func:`open_unlabelled`, one mapping for each place.
        **kwargs: see :class:`poa_bench.datasets.classification.ImageDataset`.

    Raises:
        InputError: something is missing or does not fit.
    """

    def __init__(self, sources: Sequence[Mapping[str, str]], **kwargs):
        if not sources:
            raise InputError("`sources` is empty; give a list of dict(path=...), one for each place of pictures")
        for number, one in enumerate(sources):
            check_call(f"sources[{number}]", open_unlabelled, one)
        source = JoinedSource([open_unlabelled(**one) for one in sources])
        if source.left_out:
            print_log(f"left out: {described(source.left_out)}", logger="current", level=logging.WARNING)
        super().__init__(source, **kwargs)
