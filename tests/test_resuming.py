"""Which checkpoint a run goes on from, decided on small real files."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from poa_bench import resuming
from poa_bench.errors import InputError


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_bit(path: Path) -> None:
    """Inside the stored tensor, which is ones."""
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x80\x3f" * 8) + 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    """What some file systems leave of a file when the power fails."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.fixture
def work_dir(tmp_path):
    """Iterations 5, 10 and 90; the last is 10: the run was begun again from an earlier one than 90."""
    for iteration in (5, 10, 90):
        torch.save({"weight": torch.ones(64)}, tmp_path / f"iter_{iteration}.pth")
    shutil.copyfile(tmp_path / "iter_5.pth", tmp_path / "best_accuracy_iter_95.pth")
    (tmp_path / "last_checkpoint").write_text("/where/it/was/before/iter_10.pth")
    return tmp_path


def start(work_dir, **entries):
    config = Config({"work_dir": str(work_dir), "resume": True, **entries})
    notes = resuming.choose_start(config)
    return config.resume, config.load_from and Path(config.load_from).name, notes


def test_the_last_one_of_this_folder_is_taken(work_dir):
    assert start(work_dir) == (True, "iter_10.pth", [])
    assert start(work_dir, resume="auto", load_from="weights.pth") == (True, "iter_10.pth", [])


@pytest.mark.parametrize("damage", [cut, flip_a_bit, empty, zeros])
def test_a_damaged_one_is_skipped_and_named(work_dir, damage):
    damage(work_dir / "iter_10.pth")
    resume, name, (note,) = start(work_dir)
    assert (resume, name) == (True, "iter_5.pth")
    assert note == f"{work_dir}/iter_10.pth is cut short or damaged; going on from {work_dir}/iter_5.pth"


def test_nothing_says_which_is_the_last(work_dir):
    (work_dir / "last_checkpoint").unlink()
    assert start(work_dir) == (True, "iter_90.pth", [])


def test_the_last_one_was_removed(work_dir):
    (work_dir / "iter_10.pth").unlink()
    resume, name, (note,) = start(work_dir)
    assert (resume, name) == (True, "iter_5.pth") and "iter_10.pth, which last_checkpoint names, is not there" in note


def test_no_whole_one_is_left(work_dir):
    for iteration in (5, 10):
        cut(work_dir / f"iter_{iteration}.pth")
    message = "iter_10.pth is cut short.*iter_5.pth is cut short.*iter_90.pth, iter_10.pth, iter_5.pth are there.*name"
    with pytest.raises(InputError, match=message):
        start(work_dir)


def test_checkpoints_of_the_folder_are_kept_elsewhere(work_dir, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    elsewhere = {"default_hooks": {"checkpoint": {"out_dir": str(disk)}}}
    with pytest.raises(InputError, match=f"no checkpoint to go on from in {disk}/{work_dir.name}: .*iter_10.pth"):
        start(work_dir, **elsewhere)
    shutil.copytree(work_dir, disk / work_dir.name)
    shutil.rmtree(work_dir)
    work_dir.mkdir()
    assert start(work_dir, **elsewhere) == (True, "iter_90.pth", [])


def test_first_start_of_a_job_that_may_be_restarted(tmp_path):
    """`auto` takes the config's own weights at first, and begins without any where there are none."""
    torch.save({"weight": torch.ones(64)}, tmp_path / "weights.pth")
    assert start(tmp_path / "run", resume="auto", load_from=str(tmp_path / "weights.pth")) == (False, "weights.pth", [])
    assert start(tmp_path / "run", resume="auto", load_from=None) == (False, None, [])
    assert start(tmp_path / "run", resume="auto", load_from="https://there/weights.pth")[1] == "weights.pth"


@pytest.mark.parametrize("resume", [True, False])
def test_a_named_one_that_is_damaged_tells_what_is_whole(work_dir, resume):
    cut(work_dir / "iter_10.pth")
    with pytest.raises(InputError, match=r"iter_10.pth is cut short or damaged: the newest whole one .*/iter_90.pth"):
        start(work_dir, resume=resume, load_from=str(work_dir / "iter_10.pth"))
    with pytest.raises(InputError, match="there is no checkpoint nowhere.pth"):
        start(work_dir, resume=resume, load_from="nowhere.pth")


def test_the_old_format_of_torch_is_whole(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert start(tmp_path, resume=False, load_from=str(tmp_path / "old.pth"))[:2] == (False, "old.pth")
