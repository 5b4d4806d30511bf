"""Helpers shared by all tests: where the reference numbers and the real images are, and a SLURM.

Both helpers may be imported (``from tests.conftest import golden``) or taken as fixtures (``def test_x(golden): ...``).
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"  # numbers and images that are too large, or not ours, to keep in the repository
VENDORED = Path(__file__).with_name("golden")


def but_slow(values: Iterable, quick: Iterable) -> list:
    """Parameters of a test that is repeated for each value: those that are not quick run with `pytest -m slow`."""
    quick = list(quick)
    unknown = [value for value in quick if value not in list(values)]
    assert not unknown, f"{unknown} are no values of this test"
    marked = [(value, () if value in quick else pytest.mark.slow) for value in values]
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=marks) for value, marks in marked]


def _shared_path(folder: str, name: str) -> Path:
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"needs ../shared/{folder}/{name} beside the repository", allow_module_level=True)
    return path


def golden(name: str) -> Path:
    """Path of a file with another implementation's numbers, e.g. ``golden('poa_vit_step.npz')``; skips without.

    What is kept in ``tests/golden`` is read there, the rest in ``../shared/golden``.
    """
    vendored = VENDORED / name
    return vendored if vendored.exists() else _shared_path("golden", name)


def shared_data(name: str) -> Path:
    """Path of a folder or file with real images, e.g. ``shared_data('det_bccd')``; skips where it is missing."""
    return _shared_path("data", name)


@pytest.fixture(name="golden", scope="session")
def golden_fixture() -> Callable[[str], Path]:
    return golden


@pytest.fixture(name="shared_data", scope="session")
def shared_data_fixture() -> Callable[[str], Path]:
    return shared_data


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What mmengine's current logger says, line by line."""
    from mmengine.logging import MMLogger

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A SLURM of this machine alone, of which SLURM_CONF tells; skips where SLURM cannot be had."""
    script = REPOSITORY / "tests" / "start_slurm.sh"
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([script, "start", folder], capture_output=True, text=True)
    if started.returncode == 77:
        pytest.skip(f"no SLURM: {started.stderr.strip()}")
    assert started.returncode == 0, started.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", started.stdout.strip())
        yield folder
        subprocess.run([script, "stop", folder], check=True)
