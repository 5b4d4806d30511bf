"""check-data on labelled pictures, loaders and the command: each fault is found and named with what to do."""

import pytest
from mmengine.config import Config

from poa_bench.checks import pictures as check_pictures
from poa_bench.checks import sample as check_sample
from poa_bench.checks.check import check_config
from poa_bench.cli import main
from poa_bench.config_files import read_config
from poa_bench.errors import InputError
from tests.datasets.dense_data import picture

LOADER = dict(batch_size=1, sampler=dict(type="DefaultSampler", shuffle=False))


def loader(path, **options):
    return {**LOADER, "dataset": dict(type="poa_bench.Images", path=str(path), **options)}


def evaluation(folder, **options):
    splits = {split: loader(folder, folder=split)["dataset"] for split in ("train", "test")}
    return Config(dict(evaluation=dict(name="own", image_size=8, **splits) | options))


def problems(config, **options):
    return [problem for row in check_config(config, **options) for problem in row.problems]


@pytest.fixture
def cats_and_dogs(tmp_path):
    """A folder with train and test of 8x8 pixels, two pictures of each class."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for i in range(2):
                picture(tmp_path / split / name / f"{split}{name}{i}.jpg", (8, 8))
    return tmp_path


def test_labelled_pictures(tmp_path):
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.jpg", (4, 4))
    config = Config(dict(val_dataloader=loader(tmp_path), test_dataloader=loader(tmp_path)))
    rows = check_config(config)  # the same data set is checked once
    assert [(row.problems, row.pictures, len(row.seen)) for row in rows] == [([], 2, 2)]
    (tmp_path / "dog/1.jpg").write_bytes(b"not a picture")
    assert "dog/1.jpg cannot be decoded" in problems(config)[0]
    (tmp_path / "list.txt").write_text("cat/1.jpg 0\ncat/2.jpg 0\n")
    listed = Config(dict(train_dataloader=loader(tmp_path, ann_file=str(tmp_path / "list.txt"))))
    found = problems(listed)
    assert len(found) == 1 and "1 of 2 files are missing, e.g. " in found[0] and "cat/2.jpg" in found[0]
    config = Config(dict(train_dataloader=loader(tmp_path / "nowhere")))
    assert (
        "nowhere does not exist; put the data there, or set train_dataloader.dataset.path"
        in (check_config(config)[0].problems[0])
    )


def test_every_picture_is_decoded_if_wanted(tmp_path, monkeypatch):
    """By several processes; the broken ones are not in the sample that is decoded else."""
    for i in range(80):
        picture(tmp_path / f"cat/{i:02}.jpg", (16, 16))
    for i in (3, 71):
        path = tmp_path / f"cat/{i:02}.jpg"
        path.write_bytes(path.read_bytes()[:-40])
    monkeypatch.setattr(check_sample, "SAMPLE", 3)
    monkeypatch.setattr(check_pictures, "cores", lambda: 2)
    config = Config(dict(train_dataloader=loader(tmp_path)))
    row = check_config(config)[0]
    assert (row.problems, row.read) == ([], 3)
    row = check_config(config, every_picture=True)[0]
    assert ["cat/03.jpg" in row.problems[0], "cat/71.jpg" in row.problems[1], row.read] == [True, True, 80]
    assert row.problems[0].endswith("replace the file or leave it out")


def test_many_broken_pictures_are_counted(tmp_path):
    for i in range(30):
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / f"cat/{i}.jpg").write_bytes(b"not a picture")
    found = problems(Config(dict(train_dataloader=loader(tmp_path))))
    assert len(found) == 21 and "10 more pictures have such problems" in found[-1]


def test_fewer_pictures_than_a_batch(cats_and_dogs):
    """drop_last leaves no batch: the loop of pre-training divided by their number."""
    crops = [dict(type="poa_bench.MultiCrop", global_size=8, local_size=4, local_count=1)]
    options = loader(cats_and_dogs, folder="train", pipeline=crops)
    options |= dict(batch_size=64, drop_last=True, sampler=dict(type="poa_bench.ResumableSampler"))
    options |= dict(collate_fn=dict(type="poa_bench.collate_crops", grid=(2, 2)))
    config = Config(dict(train_dataloader=options, train_cfg=dict(type="poa_bench.PretrainLoop")))
    (problem,) = problems(config)
    assert "4 pictures are fewer than a batch of 64, and drop_last leaves out" in problem
    assert problem.endswith("set train_dataloader.batch_size to 4 at the most, over all processes")
    config.train_dataloader.batch_size = 2
    assert check_config(config)[0].fine["batches of"] == "2 of 2"
    config.train_dataloader.sampler.type = "DefaultSampler"
    assert "the first batch cannot be made (MultiCrop got picture" in problems(config)[0]


def test_loaders_that_cannot_be_built(cats_and_dogs):
    options = loader(cats_and_dogs, folder="train")
    del options["sampler"]
    assert (
        "train_dataloader cannot be built (KeyError: 'sampler')" in problems(Config(dict(train_dataloader=options)))[0]
    )


def test_evaluation_splits(cats_and_dogs):
    train, test = check_config(evaluation(cats_and_dogs))
    assert (train.problems, test.problems, test.fine["apart from other splits"]) == ([], [], "fine")
    assert problems(evaluation(cats_and_dogs, image_size=6)) == []  # pictures are resized
    assert problems(evaluation(cats_and_dogs, image_size=None, resize=8)) == []  # the checkpoint says the crop
    assert (
        "resize=8 makes pictures smaller than their crop, image_size=16; set resize to 16 or more"
        in problems(evaluation(cats_and_dogs, image_size=16, resize=8))[0]
    )
    (cats_and_dogs / "test/dog").rename(cats_and_dogs / "test/wolf")
    (problem,) = problems(evaluation(cats_and_dogs))
    assert "evaluation.test: 1 of its classes are not in evaluation.train: wolf; there are cat, dog" in problem
    config = evaluation(cats_and_dogs)
    config.evaluation.pop("test")
    with pytest.raises(InputError, match="evaluation of .* missing 1 required .* 'test'"):
        check_config(config)


def test_a_class_without_a_picture_in_the_other_split_is_said(cats_and_dogs):
    for path in (cats_and_dogs / "test/cat").iterdir():
        path.unlink()
    test = check_config(evaluation(cats_and_dogs))[1]
    assert (test.problems, test.notes) == ([], ["1 classes of evaluation.train are not in it: cat"])


def test_embedded_splits_share_no_picture():
    """All pictures of the digits' three splits, by content."""
    rows = check_config(read_config("evaluation_digits.py"), every_picture=True)
    assert [(row.problems, row.notes) for row in rows] == [([], [])] * 3
    assert [row.fine.get("apart from other splits") for row in rows] == [None, "fine", "fine"]


def test_classification_of_mmpretrain(cats_and_dogs):
    """The accuracy of the truth; class folders that val numbers apart are found."""
    pytest.importorskip("mmpretrain", reason="needs the cls extra")
    steps = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
    loaders = {
        f"{split}_dataloader": {
            **LOADER,
            "dataset": dict(type="CustomDataset", data_root=str(cats_and_dogs / folder), pipeline=steps),
        }
        for split, folder in (("train", "train"), ("val", "test"))
    }
    config = Config(dict(default_scope="mmpretrain", **loaders, val_evaluator=dict(type="Accuracy", topk=(1, 2))))
    train, val = check_config(config)
    assert train.problems == val.problems == [] and val.fine["metric on the truth"] == "100 % on 4 pictures"
    (cats_and_dogs / "test/cat").rename(cats_and_dogs / "test/elk")
    assert "1 of its classes are not in train_dataloader.dataset: elk" in problems(config)[0]


def test_what_is_measured_while_training_is_checked_too(cats_and_dogs):
    hook = dict(type="poa_bench.KnnHook", data="digits", options={"evaluation.image_size": 16, "evaluation.resize": 8})
    config = Config(dict(train_dataloader=loader(cats_and_dogs, folder="train"), default_hooks=dict(knn=hook)))
    rows = check_config(config)
    assert [row.where for row in rows[1:]] == [f"default_hooks.knn.{split}" for split in ("train", "val", "test")]
    assert "resize=8 makes pictures smaller than their crop, image_size=16" in rows[1].problems[0]


def test_command_prints_a_table_or_the_problems(cats_and_dogs, capsys):
    config = cats_and_dogs / "own.py"
    config.write_text(f"train_dataloader = {loader(cats_and_dogs, folder='train')!r}")
    assert main(["check-data", str(config)]) == 0
    table = capsys.readouterr().out
    assert "2/2" in table and "4 of 1" in table
    assert main(["check-data", str(config), "--cfg-options", "train_dataloader.dataset.path=/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("poa-bench check-data: train_dataloader.dataset: path /nowhere does not")


def test_a_sample_says_so(cats_and_dogs, capsys, monkeypatch):
    monkeypatch.setattr(check_sample, "SAMPLE", 2)
    config = cats_and_dogs / "own.py"
    config.write_text(f"train_dataloader = {loader(cats_and_dogs, folder='train')!r}")
    assert main(["check-data", str(config)]) == 0
    assert "3 (--all: every one)" in capsys.readouterr().out  # the first of each class, and the last
    assert main(["check-data", str(config), "--all"]) == 0
    assert "looked at    │ all" in capsys.readouterr().out


def test_a_config_without_data_is_refused():
    with pytest.raises(InputError, match="has none of train_dataloader"):
        check_config(Config(dict(model=dict())))
