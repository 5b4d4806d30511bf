"""Pictures from folders, lists, zips, tars and npz files: the same pictures everywhere, in any process."""

import io
import multiprocessing
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from poa_bench.config_files import config_root
from poa_bench.datasets.sources import decode, open_images
from poa_bench.errors import InputError
from tests.datasets.packings import as_tar, as_tar_of_tars, as_zip

FILES = [f"{split}/{name}/{i}.png" for split in ("train", "test") for name in ("cat", "dog") for i in range(3)]


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (4 + number, 5, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(root / name)
    (root / "train/readme.txt").write_text("not a picture")
    return root


def assert_train_split(source):
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    for number in range(6):
        read = source.read(number)
        assert read.shape == (3, 4 + number, 5) and read.dtype == torch.uint8
        assert (read.permute(1, 2, 0).numpy() == picture(number)).all()


@pytest.mark.parametrize(
    "pack",
    [
        lambda folder: folder,
        lambda folder: as_zip(folder, zipfile.ZIP_STORED),
        lambda folder: as_zip(folder, zipfile.ZIP_DEFLATED),
        as_tar,
    ],
    ids=["folder", "zip", "deflated zip", "tar"],
)
def test_every_packing_gives_the_same_pictures(folder, pack):
    path = str(pack(folder))
    assert_train_split(open_images(path, "train"))
    listed = folder.parent / "list.txt"
    listed.write_text("dog/1.png 1\ncat/0.png 0\n\n")
    source = open_images(path, "test", str(listed))
    assert source.names.tolist() == [b"test/dog/1.png", b"test/cat/0.png"] and source.classes == ("0", "1")
    assert (source.read(0).permute(1, 2, 0).numpy() == picture(FILES.index("test/dog/1.png"))).all()


def test_a_tar_of_tars_and_its_kept_index(folder, monkeypatch):
    path = as_tar_of_tars(folder / "train")
    assert_train_split(open_images(str(path)))
    monkeypatch.setattr(tarfile, "open", None)  # the second time the index comes from the cache
    assert_train_split(open_images(str(path)))


def _read(source, positions, queue):
    queue.put([source.read(i).float().mean().item() for i in positions])


def test_an_open_archive_may_be_read_by_several_processes_at_once(folder):
    source = open_images(str(as_tar(folder)), "train")
    expected = [source.read(i).float().mean().item() for i in range(6)]  # the file is open before the fork
    context = multiprocessing.get_context("fork")
    queues = [context.Queue() for _ in range(2)]
    positions = list(range(6)) * 30
    processes = [context.Process(target=_read, args=(source, positions, queue)) for queue in queues]
    for process in processes:
        process.start()
    assert [queue.get(timeout=60) for queue in queues] == [expected * 30] * 2
    for process in processes:
        process.join()


def test_an_open_archive_may_be_sent_to_a_spawned_process(folder):
    source = open_images(str(as_tar(folder)), "train")
    source.read(0)
    assert_train_split(pickle.loads(pickle.dumps(source)))


def test_data_set_in_a_loader_with_workers(folder):
    data = DATASETS.build(dict(type="poa_bench.Images", path=str(as_zip(folder, zipfile.ZIP_DEFLATED)), folder="train"))
    loader = DataLoader(data, batch_size=1, num_workers=2)
    assert [item["name"][0] for item in loader] == FILES[:6]
    assert [int(item["label"]) for item in loader] == [0, 0, 0, 1, 1, 1]


def test_npz_of_jpegs(tmp_path):
    encoded = []
    for number in range(4):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(stream, "JPEG")
        encoded.append(np.frombuffer(stream.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, encoded)])
    arrays = dict(data=np.concatenate(encoded), offsets=offsets, labels=np.array([0, 1, 1, 0], np.uint8))
    path = tmp_path / "data.npz"
    np.savez(path, **arrays, split=np.array([0, 1, 0, 1]), classes=np.array(["a", "b"]))
    source = open_images(str(path), split="test")
    assert source.classes == ("a", "b") and source.labels.tolist() == [1, 0] and source.names.tolist() == [b"1", b"3"]
    assert abs(int(source.read(1)[0, 0, 0]) - 180) < 3
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="has no array 'split'"):
        open_images(str(path))


def test_the_real_archives(shared_data):
    source = open_images(str(shared_data("cls_cifar10") / "cifar10_jpeg_full.npz"), split="test")
    assert np.bincount(source.labels).tolist() == [1000] * 10 and source.read(0).shape == (3, 32, 32)
    source = open_images(str(shared_data("cls_caltech101") / "caltech101_s96.zip"), "test")
    assert (len(source.labels), len(source.classes)) == (1743, 100)
    assert min(source.read(0).shape[1:]) == 96


def test_grey_and_transparent_pictures_become_rgb():
    for mode in ("L", "RGBA", "P", "1"):
        stream = io.BytesIO()
        Image.new(mode, (3, 2), 1).save(stream, "PNG")
        assert decode(stream.getvalue(), "x").shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("name", "file", "crops", "local_count"),
    [
        ("cifar10", "cls_cifar10/cifar10_jpeg_full.npz", (32, 16), 2),
        ("caltech101", "cls_caltech101/caltech101_s96.zip", (96, 48), 4),
    ],
)
def test_data_blocks_of_the_real_archives(shared_data, name, file, crops, local_count):
    config = Config.fromfile(config_root() / f"configs/_base_/datasets/data_{name}_pretrain.py")
    config.train_dataloader.dataset.path = str(shared_data(file))
    config.train_dataloader.batch_size = 4
    inputs = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))["inputs"]
    assert inputs["global_crops"].shape == (8, 3, crops[0], crops[0])
    assert inputs["local_crops"].shape == (4 * local_count, 3, crops[1], crops[1])
    assert inputs["masks"].sum(1).count_nonzero() == 4


def test_bad_input_is_named(tmp_path, folder):
    with pytest.raises(InputError, match="there is no folder or archive .*nowhere"):
        open_images(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no pictures in class folders below valid/"):
        open_images(str(folder), "valid")
    with pytest.raises(InputError, match=r"below train/cat/, but \d+ beside each other; .* or ann_file=LIST"):
        open_images(str(folder), "train/cat")
    with pytest.raises(InputError, match="there is no annotation file"):
        open_images(str(folder), ann_file="missing.txt")
    listed = tmp_path / "list.txt"
    listed.write_text("train/cat/0.png cat\n")
    with pytest.raises(InputError, match="line 1 of .* is 'train/cat/0.png cat'"):
        open_images(str(folder), ann_file=str(listed))
    listed.write_text("train/cat/0.png 0\ntrain/cow/0.png 1\n")
    with pytest.raises(InputError, match="1 of the 2 pictures .* e.g. train/cow/0.png"):
        open_images(str(as_tar(folder)), ann_file=str(listed))
    listed.write_text("\n")
    with pytest.raises(InputError, match="names no picture"):
        open_images(str(folder), ann_file=str(listed))
    compressed = tmp_path / "data.tar.gz"
    with tarfile.open(compressed, "w:gz") as archive:
        archive.add(folder, ".")
    with pytest.raises(InputError, match="neither a zip nor an uncompressed tar"):
        open_images(str(compressed))
    (folder / "train/cat/0.png").write_bytes(b"")
    with pytest.raises(InputError, match="train/cat/0.png .0 bytes. cannot be decoded"):
        open_images(str(folder), "train").read(0)
