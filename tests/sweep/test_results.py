"""A result file is whole, checked, and named by what defines its run."""

import json
import multiprocessing
import sys
import time
from datetime import datetime, timedelta, timezone

import pandas
import pytest

from poa_bench.errors import InputError
from poa_bench.files import sha256_file
from poa_bench.runs import results
from poa_bench.runs.provenance import peak_memory_bytes, stamp
from poa_bench.runs.results import Result, load_results, read_results, run_id, write_result

FULL = dict(
    schema_version=1,
    run_id="2ad936f53b8372ca",
    created="2026-01-02T03:04:05Z",
    spec="vit-w64-d4",
    family="vit",
    initialisation="pretrained",
    checkpoint="epoch_100.pth",
    checkpoint_sha256="ab" * 32,
    task="knn",
    protocol="knn-k20-T0.07/1",
    dataset="digits",
    split="test",
    seed=0,
    metrics={"knn_top1": 91.25, "knn_k10_top1": 90.0},
    units={"knn_top1": "%", "knn_k10_top1": "%"},
    higher_is_better={"knn_top1": True, "knn_k10_top1": None},
    parameters=100_000,
    macs=12_000_000,
    image_size=32,
    config_hash="cd" * 32,
    pretraining_seed=3,
    config={"branch": "teacher", "image_size": 32, "val_share": 0.5},
    git_sha="wheel",
    git_dirty=False,
    versions={"torch": "2.11.0"},
    seconds=1.5,
    peak_memory_bytes=10_000,
    tensors_loaded=150,
    tensors_total=150,
    facts={"device": "cpu", "batch": 32, "regulariser": 0.5, "précision": "float32 ½"},
    outcomes_sha256=None,
    gallery_sha256=None,
)
IDENTITY = (
    "checkpoint_sha256", "spec", "task", "protocol", "dataset", "seed", "initialisation", "config_hash",
    "pretraining_seed",
)  # fmt: skip


def make(**changes) -> Result:
    """A valid result with some fields changed and the id derived."""
    return Result(**{**{name: value for name, value in FULL.items() if name != "run_id"}, **changes})


def test_full_json_goes_through_unchanged(tmp_path):
    result = Result.model_validate_json(json.dumps(FULL))
    path = write_result(result, tmp_path)
    assert path == tmp_path / FULL["run_id"] / "result.json"
    assert json.loads(path.read_text(encoding="utf-8")) == FULL
    assert list(json.loads(path.read_text())["metrics"]) == ["knn_top1", "knn_k10_top1"], "the primary metric is first"
    assert set(FULL) == set(Result.model_fields), "this test must cover every field"


@pytest.mark.parametrize("name", IDENTITY)
def test_id_depends_on_each_identity_field(name):
    identity = {field: FULL[field] for field in IDENTITY}
    assert run_id(**identity) == FULL["run_id"]
    other = {"seed": 1, "checkpoint_sha256": "ef" * 32, "pretraining_seed": 4}.get(name, "other")
    assert run_id(**{**identity, name: other}) != FULL["run_id"]


def test_id_depends_on_nothing_else():
    told = {"git_sha": "other", "checkpoint": "moved.pth", "split": "val", "config": {}}
    changed = make(seconds=9.0, metrics={"knn_top1": 1.0}, units={}, higher_is_better={}, **told)
    assert changed.run_id == FULL["run_id"]


@pytest.mark.parametrize(
    "changes, reason",
    [
        (dict(metrics={}), "metrics"),
        (dict(metrics={"a": float("nan")}, units={}), "finite"),
        (dict(higher_is_better={"absent": False}), "higher_is_better for metrics that are not there"),
        (dict(protocol="knn"), "protocol"),
        (dict(checkpoint_sha256="12"), "checkpoint_sha256"),
        (dict(seed="zero"), "seed"),
        (dict(unknown=1), "unknown"),
        (dict(schema_version=2), "schema_version"),
        (dict(tensors_loaded=149), "149 of 150"),
        (dict(initialisation="random"), "pretrained runs exactly"),
        (dict(initialisation="pixels", checkpoint_sha256=None), "only pixels has none"),
        (dict(initialisation="random", checkpoint_sha256=None), "pretraining_seed belongs to pretrained"),
        (dict(run_id="0" * 16), "hash to " + FULL["run_id"]),
        (dict(units={"other": "%"}), "not there"),
    ],
)
def test_refused_at_write_and_at_read(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=reason):
        make(**changes)
    path = tmp_path / FULL["run_id"] / "result.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**FULL, **changes}))
    with pytest.raises(InputError, match=reason) as error:
        read_results(tmp_path)
    assert str(path) in str(error.value)
    frame = read_results(tmp_path, on_broken="aside")
    assert frame.empty and list(frame.attrs["broken"]) == [str(path)]


def test_results_from_before_the_pretraining_seed_are_read_and_keep_their_ids(tmp_path):
    old = {name: value for name, value in FULL.items() if name not in ("pretraining_seed", "config")}
    path = tmp_path / "8bc448fb7b9e344f" / "result.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**old, "run_id": "8bc448fb7b9e344f"}))
    frame = read_results(tmp_path)
    assert frame.pretraining_seed.isna().all() and not [name for name in frame if name.startswith("config.")]
    assert make(pretraining_seed=None).run_id == "8bc448fb7b9e344f"


def test_a_field_missing_is_named(tmp_path):
    path = tmp_path / "x" / "result.json"
    path.parent.mkdir()
    path.write_text(json.dumps({name: value for name, value in FULL.items() if name != "protocol"}))
    with pytest.raises(InputError, match="protocol: Field required"):
        read_results(tmp_path)


def test_changed_copies_are_checked_before_they_are_written(tmp_path):
    with pytest.raises(ValueError, match="run_id"):
        write_result(make().model_copy(update={"seed": 5}), tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_long_table(tmp_path):
    write_result(make(), tmp_path)
    pixels = dict.fromkeys(["spec", "family", "checkpoint", "checkpoint_sha256", "parameters", "macs"])
    pixels["pretraining_seed"] = None
    write_result(make(initialisation="pixels", tensors_loaded=None, tensors_total=None, **pixels), tmp_path)
    frame = read_results(tmp_path)
    assert len(frame) == 4
    row = frame[(frame.spec == "vit-w64-d4") & frame.primary].iloc[0]
    assert (row.metric, row.value, row.unit, row.parameters) == ("knn_top1", 91.25, "%", 100_000)
    assert (row["facts.device"], row["facts.batch"], row["versions.torch"]) == ("cpu", 32, "2.11.0")
    assert (row.pretraining_seed, row["config.branch"], row["config.image_size"]) == (3, "teacher", 32)
    control = frame[frame.initialisation == "pixels"]
    assert control.parameters.isna().all(), "a missing value stays missing"
    assert isinstance(frame.created.iloc[0], pandas.Timestamp)


def test_empty_and_missing_folder(tmp_path):
    assert list(read_results(tmp_path).columns) == list(read_results(tmp_path).columns) and read_results(tmp_path).empty
    with pytest.raises(InputError, match="no results folder"):
        read_results(tmp_path / "absent")


def test_gathered_copies_count_once_and_the_latest_wins(tmp_path):
    early = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for machine, days in (("a", 2), ("b", 1)):
        metrics = {"knn_top1": float(days)}
        write_result(
            make(created=early + timedelta(days=days), metrics=metrics, units={}, higher_is_better={}),
            tmp_path / machine,
        )
    assert read_results(tmp_path).value.tolist() == [2.0]


def test_only_rank_0_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert write_result(make(), tmp_path) is None and not list(tmp_path.iterdir())


def write_forever(directory, value, ready):
    metrics = {f"metric_{i}": float(value) for i in range(2000)}  # about 100 kB: a write that takes a while
    result = make(metrics=metrics, units={}, higher_is_better={})
    ready.set()
    while True:
        write_result(result, directory)


def start_writer(directory, value):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=write_forever, args=(directory, value, ready), daemon=True)
    process.start()
    assert ready.wait(30)
    return process


def values_seen(directory) -> set:
    frame = read_results(directory)  # raises on anything half-written
    assert len(frame) == 2000 and frame.run_id.nunique() == 1
    return set(frame.value)


def test_killed_writer_leaves_a_whole_file(tmp_path):
    for attempt in range(20):
        writer = start_writer(tmp_path, attempt)
        try:
            time.sleep(0.003 * attempt)
        finally:
            writer.kill()
            writer.join()
        if (tmp_path / FULL["run_id"] / "result.json").exists():
            assert len(values_seen(tmp_path)) == 1
    assert (tmp_path / FULL["run_id"] / "result.json").exists()


def test_two_writers_of_one_run_never_mix(tmp_path):
    writers = [start_writer(tmp_path, 1), start_writer(tmp_path, 2)]
    try:
        while not (tmp_path / FULL["run_id"] / "result.json").exists():
            time.sleep(0.01)
        for _ in range(30):
            assert values_seen(tmp_path) in ({1.0}, {2.0})
    finally:
        for writer in writers:
            writer.kill()
            writer.join()


def test_sha256_is_computed_again_only_when_the_file_changed(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(path) == sha256_file(str(path)) == expected
    path.write_bytes(b"abcd")
    assert sha256_file(path) != expected
    with pytest.raises(InputError, match="no file"):
        sha256_file(tmp_path / "absent")


def test_versions_are_looked_up_once_and_cannot_be_changed_for_others(monkeypatch):
    """Eleven look-ups for each result took longer than many a task."""
    first = stamp()
    monkeypatch.setattr("importlib.metadata.version", lambda name: pytest.fail(f"{name} is looked up again"))
    first["versions"]["torch"] = "another"
    assert stamp()["versions"]["torch"] != "another"


def test_stamp_is_complete():
    found = stamp()
    assert found["versions"]["python"] == sys.version.split()[0]
    assert found["git_sha"] == "wheel" or len(found["git_sha"]) in (7, 40)
    assert Result(**{**FULL, **found}).run_id == FULL["run_id"]
    assert peak_memory_bytes() > 1e6


def test_hash_refuses_what_json_cannot_say():
    with pytest.raises(InputError, match="plain JSON"):
        results.canonical_hash({"a": object()})
    assert results.canonical_hash({"a": (1, 2), "b": 1}) == results.canonical_hash({"b": 1, "a": [1, 2]})


def test_copies_that_differ_are_named(tmp_path, caplog):
    later = {**FULL, "created": "2026-01-03T03:04:05Z", "metrics": {"acc1": 1.0}, "units": {}, "higher_is_better": {}}
    for name, values in (("a", FULL), ("b", later), ("c", FULL)):
        write_result(Result(**values), tmp_path / name)
    results, _ = load_results(tmp_path)
    assert [result.metrics for result in results] == [{"acc1": 1.0}]
    assert len(caplog.records) == 2 and "measured later" in caplog.text and "2026-01-03" in caplog.text


def test_a_date_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match="timezone"):
        Result(**{**FULL, "created": "2026-01-02T03:04:05"})
