"""Configs against the signatures of what they configure: every config that is right passes, each mistake is named."""

import inspect
from typing import Any

import pytest
from mmengine.config import Config

from poa_bench import registry
from poa_bench.config_files import find_config, read_config, runnable_configs
from poa_bench.config_values import check_config, fits, hint_of
from poa_bench.errors import InputError
from poa_bench.launch import override

REGISTRIES = [value for value in vars(registry).values() if isinstance(value, registry.OnDemandRegistry)]


def test_every_config_of_the_project_passes():
    pytest.importorskip("mmdet")
    pytest.importorskip("mmseg")
    for path in runnable_configs().values():
        if path.parent.name != "sweeps":
            check_config(read_config(path))


@pytest.fixture
def config() -> Config:
    return Config.fromfile(find_config("poa_vit-digits.py"))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("train_dataloader.num_workers", "two", "='two': DataLoader takes int there"),
        ("train_dataloader.sampler.shufle", True, "ResumableSampler takes no 'shufle'; did you mean shuffle"),
        ("train_dataloader.collate_fn.grid", 3, "=3: collate_crops takes tuple.int, int. there"),
        ("train_dataloader.dataset.split", ["a", "b"], "DigitsClassification takes str there"),
        ("train_dataloader.dataset.indices", "all", "DigitsClassification takes"),
        ("train_dataloader.dataset.pipeline.0.global_size", 32.5, "MultiCrop takes int there"),
        ("train_cfg.max_epoch", 3, "did you mean max_epochs"),
        ("train_cfg.max_iters", "1000", "PretrainLoop takes int . None there"),
        ("default_hooks.checkpoint.intervall", 3, "PretrainCheckpointHook takes no 'intervall'; did you mean interval"),
        ("default_hooks.checkpoint.type", "poa_bench.PretrainCheckpoint", "did you mean poa_bench.PretrainCheckpointH"),
        ("optim_wrapper.clip_grd", 3, "did you mean clip_grad"),
        ("optim_wrapper.optimizer.lr", "fast", "AdamW takes float"),
        ("param_scheduler.0.start_factor", "a", "param_scheduler.0.start_factor='a': LinearLR takes float there"),
        ("model.head.prototypes", "many", "ProjectionHead takes int . Sequence.int. there"),
        ("log_processor.windw", 3, "did you mean window_size"),
        ("randomness.seed", -1, "a seed is a whole number from 0"),
        ("randomness.sed", 1, "did you mean seed"),
        ("env_cfg.cudnn_benchmrk", True, "did you mean cudnn_benchmark"),
        ("log_level", "loud", "use one of DEBUG"),
        ("custom_hooks", 3, "this entry is a dict or a list"),
    ],
)
def test_a_mistake_is_named_by_its_key(config, key, value, sentence):
    check_config(config)
    config.merge_from_dict({key: value})
    with pytest.raises(InputError, match=sentence) as error:
        check_config(config)
    assert key in str(error.value) or "type" in key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("param_scheduler.0.end", 0.25),  # a share of an epoch, where mmengine says int
        ("train_dataloader.dataset.indices", list(range(9))),
        ("model.head.prototypes", (64, 128)),
        ("default_hooks.knn", None),
        ("resume", "auto"),
        ("load_from", None),
        ("default_hooks.subnet.priority", "LOW"),
    ],
)
def test_what_is_right_passes(config, key, value):
    config.merge_from_dict({key: value})
    check_config(config)


@pytest.mark.parametrize("words", ["2024", "0010", "true", "a,b", "1.50", "'2024'"])
def test_a_word_that_looks_like_a_number_stays_a_word_where_words_are_wanted(config, words):
    """Whatever the order of the options: only the last one tells what the folder is of."""
    override(config, [f"train_dataloader.dataset.folder={words}", "train_dataloader.dataset.type=poa_bench.Images"])
    assert config.train_dataloader.dataset.folder == words.strip("'")
    override(config, ["train_dataloader.batch_size=16", "model.head.prototypes=64,128", "load_from=None"])
    assert (config.train_dataloader.batch_size, config.load_from) == (16, None)
    assert config.model.head.prototypes == [64, 128]


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ([1, 2], tuple[int, int], True),
        ((1.0, 2), list[float], True),
        ("1", int, False),
        (1, float, True),
        (1.5, int, False),
        (None, str | None, True),
        ({"a": 1}, dict[str, Any], True),
        (object(), Any, True),
    ],
)
def test_values_and_hints(value, hint, expected):
    assert fits(value, hint) is expected


def test_hints_of_our_types_are_all_believed():
    """A name that is imported for type checkers alone would be left unchecked without a word."""
    for each in REGISTRIES:
        each.import_from_location()
        for built in each.module_dict.values():
            function = built.__init__ if inspect.isclass(built) else built
            if getattr(function, "__module__", "").startswith("poa_bench."):
                inspect.signature(function, eval_str=True)  # raises NameError


def test_hint_of_an_argument(config):
    assert hint_of(config, "train_dataloader.dataset.split") is str
    assert hint_of(config, "load_from") == (str | None)
    assert hint_of(config, "measurement.task") is Any
