"""Cuts the parts out of larger golden files that are kept in this folder; they are what the tests below each name read.

usage: python tests/golden/cut.py FOLDER_OF_THE_WHOLE_FILES
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
VIT = "w32-d3"
FEATURES = ("global_cls", "global_patch", "local_cls")
IMAGES = 1


def main(source: Path) -> None:
    """Write every part."""
    with np.load(source / "poa_vit_step.npz") as numbers:
        np.savez_compressed(HERE / f"poa_vit_{VIT}.npz", **vit_part(numbers))
    with np.load(source / "baselines" / "rank_scores.npz") as numbers:
        for name in ("features", "lowrank_features"):
            np.savez_compressed(HERE / "baselines" / f"rank_{name}.npz", **rank_part(numbers, name))
        np.savez_compressed(HERE / "baselines" / "rank_lidar.npz", **lidar_part(numbers))


def vit_part(numbers) -> dict[str, np.ndarray]:
    """Inputs and features of one image in one sub-network, and the full-size weights, NaN where it has none.

    Blocks that it does not have are left out. The test is the same as with all weights: a slice from another place has
    NaN, or the weights of another place, in it.
    """
    meta = json.loads(str(numbers["meta_json"]))
    (subnet,) = [one for one in meta["subnets"] if one["name"] == VIT]
    part = {"meta_json": np.array(json.dumps({"subnets": [subnet]}))}
    prefix = "student/backbone/"
    for key in (key for key in numbers if key.startswith(prefix)):
        place = key.removeprefix(prefix).split(".")
        if place[0] != "blocks" or int(place[1]) in subnet["block_ids"]:
            part[key] = sliced(numbers[key], subnet["width"], "qkv" in key)
    part |= {key: numbers[key][:IMAGES] for key in ("global_crops", "local_crops", "masks")}
    prefix = f"{VIT}/features/"
    return part | {key: numbers[key][:IMAGES] for key in map(prefix.__add__, FEATURES)}


def sliced(weight: np.ndarray, width: int, fused: bool, full: int = 64) -> np.ndarray:
    """A full-size weight with NaN outside of the leading entries that a sub-network of `width` has."""
    kept = weight.copy()
    for axis, length in enumerate(weight.shape):
        if length % full == 0 and length > 0:
            groups = length // full if fused else 1
            inside = np.arange(length) % (length // groups) < length // groups * width // full
            kept[tuple(~inside if other == axis else slice(None) for other in range(weight.ndim))] = np.nan
    return kept


def rank_part(numbers, name: str) -> dict[str, np.ndarray]:
    """One matrix in float32, which changes no score by more than 4e-9, with the scores of it."""
    scores = {key: numbers[key] for key in numbers if key.startswith(f"rankme/{name}/stable")}
    if name == "features":
        scores |= {key: numbers[key] for key in numbers if key.startswith("alphareq/ranks") and key.endswith("/alpha")}
    return {name: numbers[name].astype(np.float32), **scores}


def lidar_part(numbers) -> dict[str, np.ndarray]:
    """The matrix of views, the order in which they do not belong together, and the scores of both."""
    names = ("lidar_features", "lidar/default_lidar", "lidar/shuffle_order", "lidar/shuffled_lidar")
    return {name: numbers[name] for name in names}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
