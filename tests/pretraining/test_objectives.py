"""Every objective goes the whole way: training with the project's hooks, cost, resume, cutting, evaluation, report.

So does one in a package of somebody else, which mmengine's registry finds. It is as unlike POA as can be, without
teacher, prototypes, local crops or masks: the intact network and a drawn size find the other view of a picture among
those of all others (SimCLR's loss). Distillation has a teacher that is frozen: the intact network of POA's run.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from poa_bench import cost, launch
from poa_bench.cli import main
from poa_bench.config_files import read_config
from poa_bench.elastic import load_supernet
from poa_bench.elastic.checkpoint import load_subnet
from poa_bench.elastic.training_checkpoint import read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.pretraining.objective import Crops, Objective
from poa_bench.registry import MODELS
from poa_bench.runs.results import load_results
from tests.conftest import REPOSITORY, but_slow
from tests.pretraining.runs import arguments, environment, logged, weights

PACKAGE = '''
"""Somebody else's objective."""
import torch
import torch.nn.functional as F
from torch import nn
from poa_bench.pretraining.objective import Branch, Objective, Pass
from poa_bench.registry import MODELS

class SlicedHead(nn.Module):
    """Two layers, of which the first takes as many columns as there are features."""

    def __init__(self, width, dimension):
        super().__init__()
        self.first, self.second = nn.Linear(width, 128), nn.Linear(128, dimension)

    def forward(self, features):
        hidden = F.linear(features, self.first.weight[:, : features.shape[-1]], self.first.bias)
        return F.normalize(self.second(hidden.relu()).float(), dim=-1)

@MODELS.register_module()
class Contrast(Objective):
    def __init__(self, backbone, dimension=64, temperature=0.2, data_preprocessor=None):
        super().__init__(data_preprocessor)
        supernet = MODELS.build(backbone)
        self.student = Branch(supernet, SlicedHead(supernet.width(), dimension))
        self.temperature = temperature

    def loss(self, crops, settings):
        (size,) = self.drawn_sizes(settings)
        intact, drawn = (
            self.student.head(self.supernet.bind(spec)(crops.global_crops).cls).chunk(2) for spec in (None, size)
        )
        logits = [intact[view] @ drawn[1 - view].T / self.temperature for view in (0, 1)]
        same = torch.arange(len(intact[0]), device=logits[0].device)
        total = sum(F.cross_entropy(one, same) + F.cross_entropy(one.T, same) for one in logits) / 4
        found = torch.stack([(one.argmax(dim=1) == same).float().mean() for one in logits]).mean()
        return {"loss": total, "found": found}

    def passes(self):
        return [Pass("intact", {self.supernet.space.intact: 1.0}, local=False), Pass("drawn", None, local=False)]

    def other_operations(self, shape, elastic_width):
        first, second = self.student.head.first.weight.numel(), self.student.head.second.weight.numel()
        rows, products = 2, 2 * shape.images * self.student.head.second.out_features
        return {"head": 6 * rows * (first * (1 + elastic_width) + 2 * second), "logits": 6 * products}
'''

CONFIG = f"""
_base_ = [
    "{REPOSITORY}/configs/_base_/datasets/digits_pretrain.py",
    "{REPOSITORY}/configs/_base_/schedules/pretrain_adamw.py",
]
custom_imports = dict(imports=["somebodys_objective"])
model = dict(
    type="poa_bench.Contrast",
    data_preprocessor=dict(type="poa_bench.MultiCropPreprocessor", mean=[127.5] * 3, std=[63.75] * 3, crop_share=1.0),
    backbone=dict(
        type="poa_bench.Supernet",
        space=dict(family="vit", widths=[48, 64], depths=[2, 3], head_dim=16),
        image_size=32,
        patch_size=8,
        weight_init="jax",
        position_std=1.2,
    ),
)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=1.0, patch_embed_lr=1.0))
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=0.2)
param_scheduler[1].update(begin=0.2)
train_cfg = dict(max_iters=200)
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=100),
    collapse=dict(type="poa_bench.CollapseHook", interval=100, begin=0),
    knn=dict(type="poa_bench.KnnHook", data="digits", k=10, interval=99),
)
"""

POA = [
    "model.backbone.space.widths=[48,64]",
    "model.backbone.space.depths=[2,3]",
    "train_cfg.max_iters=60",
    "param_scheduler.0.end=0.2",
    "param_scheduler.1.begin=0.2",
    "default_hooks.patch_weight.begin=0.2",
    "default_hooks.logger.interval=10",
    "default_hooks.checkpoint.interval=30",
    "default_hooks.collapse.type=poa_bench.CollapseHook",
    "default_hooks.collapse.interval=20",
    "default_hooks.knn.type=poa_bench.KnnHook",
    "default_hooks.knn.data=digits",
]
SHORT = [one for one in POA if "patch_weight" not in one]
RUNS = {  # config and its changes
    "POA": ("poa_vit-digits.py", POA),
    "Contrast": ("contrast.py", []),
    "Distill": (
        "distill_vit-digits.py",
        [*SHORT, "train_cfg.max_iters=150", "default_hooks.checkpoint.interval=75", "model.same_view=0.5"],
    ),
    "DistillPrototypes": ("prototypes_vit-digits.py", POA),
    "MoCoV3": ("moco_vit-digits.py", [*SHORT, "train_cfg.max_iters=150", "default_hooks.checkpoint.interval=75"]),
    "MAE": ("mae_vit-digits.py", [*SHORT, "train_cfg.max_iters=150", "default_hooks.checkpoint.interval=75"]),
}
DISTILLED = ("Distill", "DistillPrototypes")
TARGETS = {"target_diversity", "target_flatness"}  # what is logged of objectives with prototypes
SIZES = ("vit-w48-d2", "vit-w64-d3")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder of somebody's package and config, on the path of Python."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "somebodys_objective.py").write_text(PACKAGE)
    (folder / "contrast.py").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    MODELS.module_dict.pop("Contrast", None)


class Run(NamedTuple):
    name: str
    config: str
    options: list[str]
    work_dir: Path

    @property
    def steps(self) -> int:
        return {"Contrast": 200, "POA": 60, "DistillPrototypes": 60}.get(self.name, 150)

    @property
    def checkpoint(self) -> str:
        return str(self.work_dir / f"iter_{self.steps}.pth")

    def read_config(self, work_dir: Path) -> Config:
        """As tools/train.py reads it."""
        chosen = arguments(work_dir, config=self.config)
        chosen.cfg_options = self.options
        return launch.read_config(chosen)


def train(name: str, package: Path, work_dir: Path, *more: str) -> Run:
    """A run without interruption, in this process."""
    config, options = RUNS[name]
    config = str(package / config) if (package / config).is_file() else config
    run = Run(name, config, [*options, *more], work_dir)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        launch.build_runner(run.read_config(work_dir)).train()
    finally:
        torch.set_num_threads(threads)
    return run


@pytest.fixture(scope="module")
def poa(package, tmp_path_factory) -> Run:
    return train("POA", package, tmp_path_factory.mktemp("poa") / "run")


@pytest.fixture(scope="module", params=but_slow(RUNS, ["POA", "MAE"]))
def run(request, poa, package, tmp_path_factory) -> Run:
    """A run of every objective; POA's is the teacher of those that have a frozen one."""
    if request.param == "POA":
        return poa
    more = [f"model.teacher.checkpoint={poa.checkpoint}"] if request.param in DISTILLED else []
    return train(request.param, package, tmp_path_factory.mktemp(request.param) / "run", *more)


def test_every_registered_objective_is_tried_here(package):
    read_config(str(package / "contrast.py"))
    MODELS.get("POA")
    registered = {
        name for name, kind in MODELS.module_dict.items() if isinstance(kind, type) and issubclass(kind, Objective)
    }
    assert registered - {"Objective"} == set(RUNS)


def test_hooks_watch_it(run):
    """Terms, sizes, collapse and k-NN are in the log; terms are means over its window."""
    found = MODELS.get(run.name)
    (log,) = run.work_dir.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    last = [line for line in lines if "loss" in line][-1]
    assert last.keys() >= {"loss", "grad_norm", "elastic_width", "elastic_depth", "feature_spread", "feature_rank"}
    assert (last.keys() & TARGETS == TARGETS) == ("head.last_layer0.weight_g" in str(weights(run.checkpoint).keys()))
    assert [line for line in lines if "knn/vit-w64-d3" in line]
    said = read_training_checkpoint(run.checkpoint)["meta"]["objective"]
    expected = {"type": run.name, "branches": list(found.branches), "evaluated_branch": found.evaluated_branch}
    assert said.items() >= expected.items()
    assert {name.split(".")[0] for name in weights(run.checkpoint)} == set(found.branches)  # not what is frozen


def test_resumed_run_is_the_same_run(run, package, tmp_path):
    """By tools/train.py, in a process of its own, from the middle: bit for bit."""
    options = ["--cfg-options", *run.options] if run.options else []
    line = [sys.executable, str(REPOSITORY / "tools" / "train.py"), run.config, "--work-dir", str(tmp_path / "w")]
    line += ["--resume", str(run.work_dir / f"iter_{run.steps // 2}.pth"), *options]
    ended = subprocess.run(
        line, env={**environment(), "PYTHONPATH": str(package)}, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    straight, resumed = weights(run.checkpoint), weights(tmp_path / "w" / f"iter_{run.steps}.pth")
    assert straight.keys() == resumed.keys()
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []
    half, whole = (
        read_training_checkpoint(path)["meta"]["compute"]
        for path in (run.work_dir / f"iter_{run.steps // 2}.pth", tmp_path / "w" / f"iter_{run.steps}.pth")
    )
    assert whole["images"] == 2 * half["images"] and whole["core_hours"] > half["core_hours"]


def test_checkpoint_says_what_it_has_cost(run, poa, tmp_path):
    """Pictures and operations are those of all steps, also of a run that was resumed; a teacher's are its file's."""
    said = read_training_checkpoint(run.checkpoint)["meta"]["compute"]
    config = run.read_config(tmp_path)
    images = run.steps * config.train_dataloader.batch_size
    assert said["images"] == images
    assert said["flop"] == pytest.approx(images * sum(cost.operations(cost.Recipe.read(config)).values()))
    assert 0 < said["core_hours"] < 1
    teacher = read_training_checkpoint(poa.checkpoint)["meta"]["compute"]
    assert said.get("teacher") == (teacher if run.name in DISTILLED else None)


def test_another_objective_is_not_resumed(run, tmp_path):
    other = next(name for name in RUNS if name != run.name)
    checkpoint = read_training_checkpoint(run.checkpoint)
    checkpoint["meta"]["objective"]["type"] = other
    torch.save(checkpoint, tmp_path / "iter_30.pth")
    config = run.read_config(tmp_path / "w")
    config.update(resume=True, load_from=str(tmp_path / "iter_30.pth"))
    with pytest.raises(InputError, match=f"another objective: now type .?{run.name}.? instead of .?{other}"):
        launch.build_runner(config).train()


def test_predicted_operations_are_those_of_a_step(run, tmp_path):
    """Against torch's own counter; POA's in more detail in test_cost.py."""
    config = run.read_config(tmp_path)
    recipe = cost.Recipe.read(config)
    images, (rows, columns) = recipe.shape.images, config.train_dataloader.collate_fn.grid
    masks = torch.zeros(2 * images, rows * columns, dtype=torch.bool)
    masks.flatten()[: round(recipe.shape.masked * images)] = True
    crops = Crops(torch.randn(2 * images, 3, 32, 32), torch.randn(recipe.shape.local_count * images, 3, 16, 16), masks)
    model = MODELS.build(config.model).train()
    model.decide(sizes=(model.supernet.space.smallest,))
    for views in crops[:2]:
        views.requires_grad_()  # predicted as if the first layer handed its gradient on
    counts_too = {torch.ops.aten.addmm_: lambda _sum, left, right, **_: 2 * left[0] * left[1] * right[1]}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=counts_too) as counter:
        model.loss(crops, model.settings)["loss"].backward()
    predicted = sum(cost.operations(recipe, {model.supernet.space.smallest: 1.0}).values())
    assert predicted == pytest.approx(counter.get_total_flops() / images, rel=1e-3)
    assert "memory per GPU" in cost.predict(config)


def test_it_is_listed_and_cut(run, tmp_path, capsys):
    assert main(["sizes", run.checkpoint]) == 0 and SIZES[0] in capsys.readouterr().out
    path = tmp_path / "small.safetensors"
    assert main(["extract", run.checkpoint, SIZES[0], "-o", str(path)]) == 0
    evaluated = MODELS.get(run.name).evaluated_branch
    assert f"{SIZES[0]} of the {evaluated}" in capsys.readouterr().out
    net, (module, metadata) = load_supernet(run.checkpoint), load_subnet(path)
    assert metadata["branch"] == evaluated
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(module(images), net(images, net.space.parse(SIZES[0])).cls)
    assert main(["export", run.checkpoint, SIZES[0], "--to", "timm", "-o", str(tmp_path / "s.safetensors")]) == 0


def test_it_has_learned_and_the_report_says_so(run, tmp_path):
    """k-NN of the smallest and of the intact size, against random weights of the same networks."""
    command = ["evaluate", run.checkpoint, "--data", "digits", "-o", str(tmp_path / "r"), "--tasks", "knn"]
    for start in ("pretrained", "random"):
        assert main([*command, "--specs", ",".join(SIZES), "--initialisation", start]) == 0
    found = {(one.spec, one.initialisation): one.primary for one in load_results(tmp_path / "r")[0]}
    if run.name == "MAE":  # k-NN does not tell (a published ViT-B has 11 % on ImageNet): what it finds are pixels
        errors = [value for (value,) in logged(run.work_dir, "loss").values()]
        assert errors[-1] < errors[0] / 3
    else:
        assert all(found[size, "pretrained"] > found[size, "random"] + 5 for size in SIZES), found
    assert main(["report", str(tmp_path / "r"), "-o", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert all(size in text for size in SIZES) and f"{found[SIZES[1], 'pretrained']:.2f}" in text
    images = read_training_checkpoint(run.checkpoint)["meta"]["compute"]["images"]
    assert f" core hours for {images:,} pictures" in text
    assert (", its teacher before that " in text) == (run.name in DISTILLED)
