"""What is a picture of a data set and what is not, each file once: the same in folders, zips and tars."""

import io
import os
import shutil
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from poa_bench.checks.check import check_config
from poa_bench.checks.result import Checked
from poa_bench.datasets.classification import Images
from poa_bench.datasets.sources import StoredSource, decode, open_images
from poa_bench.errors import InputError
from tests.datasets.packings import COLOURS, as_tar, as_tar_of_tars, as_zip, coloured

PACKINGS = {"folder": lambda folder: folder, "zip": as_zip, "tar": as_tar}
TWELVE = [f"{name}/{i}.png" for name in "abc" for i in range(4)]
each_packing = pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve pictures of three classes."""
    return coloured(tmp_path / "data" / "train", "abc").parent


def assert_right(source: StoredSource, names: list[str] | None = None) -> None:
    """The twelve pictures with their classes, which are seen from their colours."""
    assert source.names.tolist() == [
        n.encode() for n in names or [f"train/{c}/{i}.png" for c in "abc" for i in range(4)]
    ]
    for number, label in enumerate(source.labels):
        colour = source.read(number).double().mean((1, 2)).numpy()
        assert np.abs(colour - COLOURS[source.classes[label]]).max() < 10


def rubbish(folder: Path) -> dict[str, int]:
    """Add what computers leave in folders; return how often each reason should be said."""
    of_system = [".ipynb_checkpoints/0-checkpoint.png", "a/.ipynb_checkpoints/0.png", "b/._0.png", ".hidden/0.png"]
    of_system += ["__MACOSX/a/0.png", "c/Thumbs.db", "a/@eaDir/0.png", "b/desktop.ini"]
    for name in [*of_system, "a/0.heic", "b/1.HEIC", "labels.csv", "c/notes", "0.png", "1.png", "2.png"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "a/0.png", folder / name)
    others = {"with the ending .heic": 2, "with the ending .csv": 1, "without an ending": 1, "outside class folders": 3}
    return {"hidden or of the system": len(of_system), **others}


def checked(dataset: dict) -> Checked:
    """What check-data finds in a training on it."""
    loader = dict(batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True), dataset=dataset)
    (row,) = check_config(Config(dict(train_dataloader=loader)))
    return row


@each_packing
def test_what_is_left_out_is_said_and_counted(folder, pack, log):
    expected = rubbish(folder / "train")
    source = open_images(str(pack(folder)), "train")
    assert_right(source)
    assert source.classes == ("a", "b", "c")
    assert {reason: len(names) for reason, names in source.left_out.items()} == expected
    (line,) = (line for line in log if "left out" in line)
    assert line.startswith("left out below train/: 8 hidden or of the system (e.g. .hidden/0.png), 3 outside class")


def test_check_data_says_what_is_left_out(folder):
    (folder / "train/a/Thumbs.db").write_text("")
    entry = dict(type="poa_bench.Images", path=str(folder), folder="train")
    row = checked(entry)
    assert "left out: 1 hidden or of the system (e.g. a/Thumbs.db)" in row.notes


def test_a_folder_of_nothing_else_says_so(tmp_path):
    (tmp_path / "data/a").mkdir(parents=True)
    (tmp_path / "data/a/1.heic").write_text("")
    with pytest.raises(InputError, match=r"no pictures in class folders below the top .1 with the ending .heic"):
        open_images(str(tmp_path / "data"))


@pytest.mark.parametrize("pack", [PACKINGS["folder"], as_tar], ids=["folder", "tar"])
def test_links_never_multiply_pictures(folder, pack, log):
    """A folder in itself, a class under two names, a picture under two, links to nothing and to themselves."""
    train = folder / "train"
    (train / "a/loop").symlink_to("..")
    (train / "0").symlink_to("b")  # comes before the real one
    (train / "a/00.png").symlink_to("0.png")
    (train / "c/00.png").symlink_to("../a/1.png")
    (train / "c/gone.png").symlink_to("nowhere.png")
    (train / "c/itself.png").symlink_to("itself.png")
    source = open_images(str(pack(folder)), "train")
    assert_right(source)
    assert sorted(source.left_out["links to nowhere"]) == ["c/gone.png", "c/itself.png"]
    if pack is as_tar:  # there the folders' files count
        assert len(source.left_out["links to a picture that is there"]) >= 2 + 12 + 4
    else:
        assert source.left_out["links to a folder that is there"] == ["0/", "a/loop/"]
        assert source.left_out["links to a picture that is there"] == ["a/00.png", "c/00.png"]
    assert any("2 links to nowhere (e.g. c/gone.png)" in line for line in log)


@pytest.mark.parametrize("pack", [PACKINGS["folder"], as_tar], ids=["folder", "tar"])
def test_links_out_of_the_split_are_pictures(folder, pack):
    """As in a subset that is made of links into a pool, of folders or of pictures."""
    train = folder / "train"
    train.rename(folder / "pool")
    train.mkdir()
    (train / "a").symlink_to("../pool/a")
    for name in "bc":
        (train / name).mkdir()
        for i in range(4):
            (train / name / f"{i}.png").symlink_to(f"../../pool/{name}/{i}.png")
    (train / "b/again.png").symlink_to("../../pool/b/3.png")
    source = open_images(str(pack(folder)), "train")
    assert_right(source)
    assert source.left_out == {"links to a picture that is there": ["b/again.png"]}


@each_packing
def test_hard_links_are_pictures(folder, pack):
    """Ten files with twelve names: a tar holds two of them as links."""
    for name in ("b/1.png", "c/3.png"):
        (folder / "train" / name).unlink()
        os.link(folder / "train" / name.replace("1", "0").replace("3", "2"), folder / "train" / name)
    source = open_images(str(pack(folder)), "train")
    assert_right(source)
    assert source.left_out == {}
    if pack is as_tar:
        assert_right(
            open_images(str(as_tar_of_tars(folder / "train"))), [f"{c}/{i}.png" for c in "abc" for i in range(4)]
        )


def test_links_in_a_zip(folder):
    path = as_zip(folder)
    with zipfile.ZipFile(path, "a") as archive:
        for name, target in (
            ("train/a/00.png", "0.png"),
            ("train/a/gone.png", "nowhere"),
            ("val/a/0.png", "../../train/a/0.png"),
        ):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o120777 << 16
            archive.writestr(entry, target)
    source = open_images(str(path), "train")
    assert_right(source)
    assert {reason: len(names) for reason, names in source.left_out.items()} == {
        "links to nowhere": 1,
        "links to a picture that is there": 1,
    }
    assert_right(open_images(str(path), "val"), ["val/a/0.png"])


def test_a_file_that_was_packed_twice_counts_as_packed_last(folder):
    path = as_tar(folder)
    with tarfile.open(path, "a") as archive:
        archive.add(folder / "train/a/1.png", "train/a/0.png")
    source = open_images(str(path), "train")
    assert_right(source)
    assert (source.read(0) == source.read(1)).all()


@pytest.mark.parametrize("pack", [PACKINGS["folder"], as_tar], ids=["folder", "tar"])
def test_names_that_are_not_utf8(tmp_path, pack):
    """latin-1 names, as old cameras and servers write them: read, and shown with escapes."""
    folder = coloured(tmp_path / "data", "ab")
    os.rename(os.fsencode(folder / "a"), os.fsencode(folder) + b"/caf\xe9")
    os.rename(os.fsencode(folder / "b/0.png"), os.fsencode(folder) + b"/b/\xfc.png")
    path = str(pack(folder))
    data = Images(path)
    assert data.metainfo["classes"] == ("b", "caf\\xe9")
    assert [data.get_data_info(i)["name"] for i in (3, 4)] == ["b/\\xfc.png", "caf\\xe9/0.png"]
    colours = [data[i]["inputs"].double().mean((1, 2)).numpy() for i in (3, 4)]
    assert np.abs(np.array(colours) - [COLOURS["b"], COLOURS["a"]]).max() < 10
    assert checked(dict(type="poa_bench.Images", path=path)).problems == []
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfcaf\xe9/1.png 1\r\nb/\xfc.png\t0\r\n")
    source = open_images(path, ann_file=str(listed))
    assert source.names.tolist() == [b"caf\xe9/1.png", b"b/\xfc.png"] and source.labels.tolist() == [1, 0]
    assert [source.read(i).shape for i in (0, 1)] == [(3, 8, 8)] * 2


class Unflagged(zipfile.ZipInfo):
    """Writes UTF-8 without saying so, as Unix programs do."""

    def _encodeFilenameFlags(self):
        return self.filename.encode(), self.flag_bits & ~0x800


def test_accents_are_the_same_class_however_they_are_written(tmp_path):
    """A Mac stores the e and its accent apart, and zips of Unix programs do not say that they are UTF-8."""
    picture = (coloured(tmp_path / "made", "a") / "a/0.png").read_bytes()
    for form in ("NFC", "NFD"):
        (tmp_path / form / unicodedata.normalize(form, "café")).mkdir(parents=True)
        (tmp_path / form / unicodedata.normalize(form, "café") / "0.png").write_bytes(picture)
        assert open_images(str(tmp_path / form)).classes == ("café",)
        assert checked(dict(type="poa_bench.Images", path=str(tmp_path / form))).problems == []
    for name, kind in (("unix.zip", Unflagged), ("flagged.zip", zipfile.ZipInfo)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(kind("café/0.png"), picture)
        assert open_images(str(tmp_path / name)).classes == ("café",)
    old = (tmp_path / "unix.zip").read_bytes().replace("café".encode(), b"caf\x82x")  # of DOS
    (tmp_path / "dos.zip").write_bytes(old)
    assert open_images(str(tmp_path / "dos.zip")).classes == ("caféx",)


@pytest.mark.parametrize(
    ("ending", "kind"), [("gif", "GIF"), ("jfif", "JPEG"), ("avif", "AVIF"), ("jpe", "JPEG"), ("pbm", "PPM")]
)
def test_pictures_under_rarer_endings_are_read(tmp_path, ending, kind, monkeypatch):
    (tmp_path / "data/a").mkdir(parents=True)
    made = Image.new("RGB", (8, 6), (200, 100, 50))
    if ending == "avif":
        pytest.importorskip("PIL._avif")
    made.save(tmp_path / f"data/a/0.{ending.upper()}", kind)
    found = open_images(str(tmp_path / "data")).read(0)
    expected = np.array(Image.open(tmp_path / f"data/a/0.{ending.upper()}").convert("RGB"))
    assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2
    monkeypatch.setattr("poa_bench.datasets.sources.cv2.imdecode", lambda *arguments: None)  # an older build
    stream = io.BytesIO()
    made.save(stream, kind)
    assert np.array_equal(decode(stream.getvalue(), "x").permute(1, 2, 0).numpy(), expected)


def test_contradicting_lines_of_a_list(tmp_path, log):
    folder = coloured(tmp_path / "data", "a")
    listed = tmp_path / "list.txt"
    listed.write_text("a/0.png 0\na/1.png 1\na/0.png 0\n")
    assert open_images(str(folder), ann_file=str(listed)).names.tolist() == [b"a/0.png", b"a/1.png"]
    assert any(f"1 repeated lines of {listed} are left out" in line for line in log)
    listed.write_text("a/0.png 0\na/0.png 1\n")
    with pytest.raises(InputError, match="line 2 of .* says label 1 of a/0.png, but a line before it 0"):
        open_images(str(folder), ann_file=str(listed))
    listed.write_text("a/0.png dog\n")
    assert open_images(str(folder), ann_file=str(listed), classes=["cat", "dog"]).labels.tolist() == [1]
    listed.write_text("a/0.png 2\n")
    with pytest.raises(InputError, match="line 1 of .* has label 2, but the 2 classes are 'cat', 'dog'"):
        open_images(str(folder), ann_file=str(listed), classes=["cat", "dog"])


def test_class_lists(tmp_path):
    folder = coloured(tmp_path / "data", "abc")
    names = tmp_path / "classes.txt"
    names.write_text("c\nb\n\na\n")
    source = open_images(str(folder), classes=str(names))
    assert source.classes == ("c", "b", "a") and source.labels.tolist() == [2] * 4 + [1] * 4 + [0] * 4
    with pytest.raises(InputError, match="the data below the top has 'c', not among the classes 'a', 'b'"):
        open_images(str(folder), classes=["a", "b"])
    with pytest.raises(InputError, match="the class list has 'a' more than once"):
        open_images(str(folder), classes=["a", "b", "a"])
    with pytest.raises(InputError, match="there is no class list nowhere.txt"):
        open_images(str(folder), classes="nowhere.txt")


def test_names_with_spaces_stand_behind_a_tab(tmp_path):
    """Also where one name ends like another; with a space between path and label, paths alone may have spaces."""
    folder, listed = tmp_path / "pictures", tmp_path / "list.txt"
    paths = ["my dog 1.png", "dogs/2.png", "3.png", "4 golden.png"]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / path)
    classes = ["retriever", "golden retriever", "cat"]
    lines = [f"{paths[0]}\tgolden retriever", f"{paths[1]} \t retriever", f"{paths[2]}\t2", f"{paths[3]} retriever"]
    listed.write_text("\n".join(lines))
    data = open_images(str(folder), ann_file=str(listed), classes=classes)
    found = dict(zip((name.decode() for name in data.names), data.labels.tolist(), strict=True))
    assert found == dict(zip(paths, [1, 0, 2, 0], strict=True))
    listed.write_text(f"{paths[2]} golden labrador")
    with pytest.raises(InputError, match="a tab stands before a name with spaces"):
        open_images(str(folder), ann_file=str(listed), classes=classes)
