"""The numbers of other implementations that are kept in the repository: small, plain, and said where from."""

import re
import runpy

import numpy as np
import pytest

from tests.conftest import SHARED, VENDORED, golden

FILES = sorted(path.relative_to(VENDORED).as_posix() for path in VENDORED.rglob("*.npz"))


def test_the_readme_names_every_file():
    rows = re.findall(r"^\| `(.+?\.npz)` \|(.+)\|$", (VENDORED / "README.md").read_text(), re.M)
    assert sorted(name for name, _ in rows) == FILES and FILES
    assert all(cell.strip() for _, cells in rows for cell in cells.split("|"))


@pytest.mark.parametrize("name", FILES)
def test_files_are_small_and_hold_numbers_only(name):
    path = golden(name)
    assert path.is_relative_to(VENDORED) and path.stat().st_size < 200 * 1024
    with np.load(path, allow_pickle=False) as numbers:
        kinds = {key: numbers[key].dtype.kind for key in numbers.files}  # raises where Python objects are in it
    assert {kind for key, kind in kinds.items() if key != "meta_json"} <= set("fib")


def test_parts_are_those_of_the_whole_files():
    if not (SHARED / "golden" / "poa_vit_step.npz").is_file():
        pytest.skip("needs ../shared/golden beside the repository")
    cut = runpy.run_path(str(VENDORED / "cut.py"))
    parts = {f"poa_vit_{cut['VIT']}.npz": ("poa_vit_step.npz", cut["vit_part"])}
    for name in ("features", "lowrank_features"):
        parts[f"baselines/rank_{name}.npz"] = (
            "baselines/rank_scores.npz",
            lambda numbers, name=name: cut["rank_part"](numbers, name),
        )
    parts["baselines/rank_lidar.npz"] = ("baselines/rank_scores.npz", cut["lidar_part"])
    for kept, (whole, part) in parts.items():
        with np.load(SHARED / "golden" / whole) as numbers, np.load(VENDORED / kept) as stored:
            expected = part(numbers)
            assert set(stored.files) == set(expected)
            for key in expected:
                np.testing.assert_array_equal(stored[key], expected[key])


def test_whole_files_are_still_those_of_the_shared_folder():
    for name in FILES:
        whole = SHARED / "golden" / name
        if whole.is_file():
            assert whole.read_bytes() == (VENDORED / name).read_bytes(), name
