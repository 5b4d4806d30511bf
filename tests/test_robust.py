"""Generated cases: files of which some bytes are changed or missing, and values of any kind where one is expected.

Whatever comes in, the answer is a value or one sentence (`InputError`), in seconds; never another exception. `make
test-robust` tries 100 cases of each kind, the ordinary tests a sample.
"""

import copy
import io
import json
import os
import random
import zipfile
from argparse import ArgumentTypeError
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from poa_bench import argument_types, config_values
from poa_bench.config_files import find_config
from poa_bench.datasets.classification import Images
from poa_bench.datasets.sources import open_images
from poa_bench.elastic import SearchSpace, SubnetSpec, load_subnet, load_supernet, save_subnet
from poa_bench.errors import InputError
from poa_bench.report.curves import read_scalars
from poa_bench.resuming import is_whole, newest_whole
from poa_bench.runs.outcome_files import read_outcomes, write_outcomes
from poa_bench.runs.outcomes import MeanOutcome
from poa_bench.runs.results import Result, load_results, write_result
from poa_bench.sweep import run_folder
from poa_bench.sweep.plan import make_sweep
from tests.pretraining.teaching import write_teacher
from tests.report.made import made_result

EXAMPLES = int(os.environ.get("POA_BENCH_EXAMPLES", 8))
tried = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    PLAIN, lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=8), one, max_size=4), max_leaves=6
)
ODD = ["vit-w٣-d2", "1e999", "-", ",", "nan", "9" * 5000, "vit-w1-d1-1-1-1", ""]
TEXTS = st.text(max_size=40) | st.sampled_from(ODD)


def damaged(content: bytes, seed: int) -> bytes:
    """Some bytes changed, a stretch of zeros, the end cut off, or something of another file in the middle."""
    choose, data = random.Random(seed), bytearray(content)
    for _ in range(choose.randint(1, 3)):
        place = choose.randrange(len(data))
        match choose.randrange(4):
            case 0:
                data[place] = choose.randrange(256)
            case 1:
                data[place : place + choose.randrange(200)] = bytes(choose.randrange(200))
            case 2:
                del data[place:]
            case 3:
                data[place:place] = choose.randbytes(choose.randrange(50))
        data = data or bytearray(b"x")
    return bytes(data)


def changed(value, choose: random.Random, other):
    """A deep copy of plain values of which one, anywhere, is another."""
    value = copy.deepcopy(value)
    holder, places = value, []
    while isinstance(holder, dict | list) and holder:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        places.append((holder, choose.choice(list(keys))))
        holder = holder[places[-1][1]]
    holder, key = choose.choice(places)
    holder[key] = other
    return value


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A whole file of every kind that is read."""
    folder = tmp_path_factory.mktemp("files")
    found = {"checkpoint": write_teacher(folder / "teacher")}
    net = load_supernet(found["checkpoint"])
    found["extracted"] = folder / "size.safetensors"
    save_subnet(net, net.space.smallest, found["extracted"], "0" * 64)
    picture = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8))[1].tobytes()
    found["picture"] = folder / "picture.jpg"
    found["picture"].write_bytes(picture)
    found["zip"] = folder / "pictures.zip"
    with zipfile.ZipFile(found["zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/1.jpg", "b/2.jpg"):
            archive.writestr(name, picture)
    found["arrays"] = folder / "pictures.npz"
    sizes = np.array([0, len(picture), 2 * len(picture)])
    arrays = {"labels": np.array([0, 1]), "split": np.array([0, 0]), "classes": np.array(["a", "b"])}
    np.savez(found["arrays"], data=np.frombuffer(2 * picture, np.uint8), offsets=sizes, **arrays)
    found["list"] = folder / "list.txt"
    found["list"].write_text("a/1.jpg 0\nb/2.jpg 1\n")
    result = made_result("knn", "vit-w48-d4", "pretrained", metrics={"top1": 50.0}, units={"top1": "%"})
    found["result"] = write_result(result, folder / "results")
    found["outcomes"] = folder / "outcomes.npz"
    write_outcomes({"top1": MeanOutcome(np.arange(40) % 3 > 0)}, found["outcomes"])
    found["failure"] = folder / "failure-1.json"
    failure = {"run_id": "0", "run": "r", "attempt": 1, "cause": "c", "error": "e", "host": "h"}
    found["failure"].write_text(json.dumps({**failure, "created": "2026-01-02T03:04:05Z"}))
    found["scalars"] = folder / "scalars.json"
    found["scalars"].write_text("".join(json.dumps({"loss": 1.5, "step": step}) + "\n" for step in range(20)))
    return found


def read_zip(path: Path) -> None:
    list(Images(str(path)))


def read_failure(path: Path) -> None:
    run_folder.last_failure(path.parent.parent, path.parent.name)


READERS = {
    "checkpoint": load_supernet,
    "extracted": load_subnet,
    "picture": lambda path: list(Images(str(path.parent.parent))),
    "zip": read_zip,
    "arrays": lambda path: list(Images(str(path))),
    "list": lambda path: open_images(str(path.parent), ann_file=str(path)),
    "result": lambda path: load_results(path.parent, on_broken="aside"),
    "outcomes": read_outcomes,
    "failure": read_failure,
    "scalars": lambda path: read_scalars(path.parent),
}


@pytest.mark.parametrize("kind", READERS)
@tried
@given(seed=st.integers(0, 2**32))
def test_damaged_files(kind, seed, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged") / "a"
    folder.mkdir()
    path = folder / files[kind].name
    path.write_bytes(damaged(files[kind].read_bytes(), seed))
    try:
        READERS[kind](path)
    except InputError as error:
        assert str(error) and len(str(error)) < 2000


@tried
@given(seed=st.integers(0, 2**32))
def test_damaged_checkpoints_are_never_taken_for_whole_by_a_resume(seed, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resumed")
    whole = files["checkpoint"].read_bytes()
    (folder / "iter_1.pth").write_bytes(whole)
    (folder / "iter_2.pth").write_bytes(damaged(whole, seed))
    if not is_whole(folder / "iter_2.pth"):
        assert newest_whole(folder, folder / "last_checkpoint")[0] == folder / "iter_1.pth"
    elif (folder / "iter_2.pth").read_bytes()[:2] == b"PK":  # what is changed is beside the tensors
        first, second = (torch.load(folder / f"iter_{n}.pth", weights_only=True)["state_dict"] for n in (1, 2))
        assert all(torch.equal(first[name], second[name]) for name in first)


@tried
@given(seed=st.integers(0, 2**32), other=ANYTHING)
def test_descriptions_of_checkpoints(seed, other, files, tmp_path_factory):
    checkpoint = torch.load(files["checkpoint"], weights_only=True)
    choose = random.Random(seed)
    if choose.random() < 0.8:
        checkpoint["meta"] = changed(checkpoint["meta"], choose, other)
    else:
        checkpoint = changed(checkpoint, choose, other)
    path = tmp_path_factory.mktemp("described") / "iter_1.pth"
    torch.save(checkpoint, path)
    try:
        assert load_supernet(path).source_sha256
    except InputError as error:
        assert len(str(error)) < 2000


@tried
@given(seed=st.integers(0, 2**32), other=ANYTHING)
def test_spaces(seed, other, files):
    space = SearchSpace("vit", widths=[32, 64], depths=[[2, 3]], head_dim=16).to_dict()
    for values in (changed(space, random.Random(seed), other), other):
        try:
            assert len(SearchSpace.from_dict(values)) > 0
        except InputError as error:
            assert len(str(error)) < 1000


@tried
@given(text=TEXTS)
def test_words_of_the_command_line(text):
    try:
        SubnetSpec.parse(text)
    except InputError as error:
        assert len(str(error)) < 6000
    kinds = ("names", "specs", "positive", "seed", "seeds", "positive_numbers", "numbers_by_stage", "share", "amount")
    for kind in (*kinds, "json_object", "not_negative"):
        try:
            getattr(argument_types, kind)(text)
        except ArgumentTypeError as error:
            assert "does not fit" in str(error) or "write" in str(error)


@tried
@given(seed=st.integers(0, 2**32), other=ANYTHING)
def test_results(seed, other, files):
    values = changed(json.loads(files["result"].read_text()), random.Random(seed), other)
    try:
        Result.model_validate(values)
    except ValueError as error:
        assert "run_id" in str(error) or str(error)


@tried
@given(seed=st.integers(0, 2**32), other=ANYTHING)
def test_sweeps(seed, other):
    sweep = {"name": "s", "checkpoints": ["c.pth"], "results": "r", "seeds": [0], "retries": 1}
    entry = {"task": "knn", "dataset": "digits", "specs": ["smallest"], "settings": {"amp": "off"}, "gpus": 0}
    try:
        make_sweep(changed({**sweep, "tasks": [entry]}, random.Random(seed), other))
    except InputError as error:
        assert len(str(error)) < 2000


CONFIG = Config.fromfile(find_config("poa_vit-digits.py"))


@tried
@given(seed=st.integers(0, 2**32), other=ANYTHING)
def test_training_options(seed, other):
    """Any value anywhere in a pre-training config: mmengine or torch is asked only for what fits."""
    values = changed(CONFIG.to_dict(), random.Random(seed), other)
    try:
        config_values.check_config(Config(values, filename=CONFIG.filename))
    except InputError as error:
        assert len(str(error)) < 3000


def test_damage_is_damage():
    content = io.BytesIO(bytes(range(256)) * 4).getvalue()
    assert sum(damaged(content, seed) != content for seed in range(100)) > 90
