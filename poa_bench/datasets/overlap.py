"""Pictures that two splits share: what was learnt or stored from one must not be measured on the other."""

import hashlib

from poa_bench.datasets.classification import ImageDataset
from poa_bench.datasets.labels import readable


def shared_files(first: ImageDataset, second: ImageDataset) -> list[str]:
    """Names of the pictures that both data sets take from the same place; nothing is opened."""
    places = [
        {f"{data.source.origin}/{readable(name)}" for name in data.source.names[data.positions]}
        for data in (first, second)
    ]
    return sorted(places[0] & places[1])


def shared_contents(first: ImageDataset, second: ImageDataset) -> list[tuple[str, str]]:
    """Names (in the first, in the second) of pictures whose stored bytes are equal; all of both are read."""
    known = {_digest(first, position): position for position in first.positions[::-1]}
    pairs = ((known.get(_digest(second, position)), position) for position in second.positions)
    names = first.source.names, second.source.names
    return [(readable(names[0][one]), readable(names[1][other])) for one, other in pairs if one is not None]


def _digest(data: ImageDataset, position: int) -> bytes:
    return hashlib.sha256(data.source.content(position)).digest()
