"""What is kept on a disk is compared with its check sums before it is believed, and made again if it is not whole."""

import errno
import io
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from poa_bench.datasets import cache
from poa_bench.datasets.cache import build_once
from poa_bench.datasets.scenes import scenes_folder
from poa_bench.datasets.stores import ArchiveStore
from poa_bench.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_known_whole", set())


def build(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "numbers").write_bytes(bytes(range(256)) * 40)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),  # what a disk without room leaves
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"\x07", b"\x00")),
        lambda path: path.unlink(),
        lambda path: path.with_name("more").write_bytes(b""),
        lambda path: (path.parent.parent / "check_sums.json").unlink(),  # of a version that kept none
        lambda path: (path.parent.parent / "check_sums.json").write_text("[" * 10),
    ],
)
def test_damaged_cache_is_made_again(damage):
    path = build_once("thing", build) / "below" / "numbers"
    damage(path)
    cache._known_whole.clear()  # as another process has it
    assert (build_once("thing", build) / "below" / "numbers").read_bytes() == bytes(range(256)) * 40
    assert not path.with_name("more").exists() and [one.name for one in cache.cache_folder().iterdir()] == ["thing"]


def test_whole_cache_is_not_made_again():
    build_once("thing", build)
    cache._known_whole.clear()
    build_once("thing", lambda folder: pytest.fail("it is there"))


def test_full_disk_leaves_no_empty_scenes(monkeypatch):
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "000016.jpg":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="No space left"):
            scenes_folder()
    assert not list(cache.cache_folder().glob("*/*"))
    pictures = sorted((scenes_folder() / "images").rglob("*.jpg"))
    assert len(pictures) == 850 and all(cv2.imread(str(path)) is not None for path in pictures[::17])


def packed(value: int, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for number in range(3):
            content = np.random.default_rng(value + number).bytes(100) * 8
            archive.writestr(zipfile.ZipInfo(f"{number}.bin", (2020, 1, 1, 0, 0, 0)), content, method)
    return stream.getvalue()


def test_zip_that_is_replaced_within_a_tick_of_the_clock_is_read_anew(tmp_path):
    path = tmp_path / "pictures.zip"
    path.write_bytes(packed(1))
    first, state = ArchiveStore(path).read(0), path.stat()
    (tmp_path / "other.zip").write_bytes(packed(5))
    os.replace(tmp_path / "other.zip", path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert ArchiveStore(path).read(0) == np.random.default_rng(5).bytes(100) * 8 != first


def test_zip_that_is_replaced_while_it_is_in_use_is_said(tmp_path):
    path = tmp_path / "pictures.zip"
    path.write_bytes(packed(1))
    store = ArchiveStore(path)
    (tmp_path / "other.zip").write_bytes(packed(5))
    os.replace(tmp_path / "other.zip", path)
    for _ in range(2):  # whoever goes on after an error must not get pictures of the other one
        with pytest.raises(InputError, match="was replaced while it was in use"):
            store.read(0)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_file_in_a_zip_is_named(method, tmp_path):
    data = bytearray(packed(1, method))
    place = data.index(b"1.bin") + 30
    data[place : place + 8] = bytes(8)
    path = tmp_path / "pictures.zip"
    path.write_bytes(data)
    store = ArchiveStore(path)
    assert store.read(0) == np.random.default_rng(1).bytes(100) * 8
    with pytest.raises(InputError, match="1.bin in .* is damaged"):
        store.read(1)
