"""Helpers shared by all tests: where the reference numbers and the real images are.

Both helpers may be imported (``from tests.conftest import golden``) or taken as fixtures (``def test_x(golden): ...``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"  # numbers and images that are too large, or not ours, to keep in the repository


def _shared_path(folder: str, name: str) -> Path:
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"needs ../shared/{folder}/{name} beside the repository", allow_module_level=True)
    return path


def golden(name: str) -> Path:
    """Path of a file with the official implementation's numbers, e.g. ``golden('poa_vit_step.npz')``; skips without."""
    return _shared_path("golden", name)


def shared_data(name: str) -> Path:
    """Path of a folder or file with real images, e.g. ``shared_data('det_bccd')``; skips where it is missing."""
    return _shared_path("data", name)


@pytest.fixture(name="golden", scope="session")
def golden_fixture() -> Callable[[str], Path]:
    return golden


@pytest.fixture(name="shared_data", scope="session")
def shared_data_fixture() -> Callable[[str], Path]:
    return shared_data
