"""What mim and OpenMMLab's other readers of model indices find of this project."""

import runpy
from importlib import util
from pathlib import Path

import pytest
import timm
import yaml
from mmengine.analysis import get_model_complexity_info
from modelindex.load_model_index import load as load_model_index

from poa_bench.config_files import runnable_configs
from poa_bench.elastic.macs import count_macs
from poa_bench.tasks.linear import LinearProtocol
from tests.conftest import REPOSITORY
from tests.mim_client import seen_by_mim

METAFILES = [REPOSITORY / name for name in yaml.safe_load((REPOSITORY / "model-index.yml").read_text())["Import"]]


def test_kept_files_are_those_of_the_configs_and_reports():
    """`python tools/update_metafiles.py` writes them; no number is typed."""
    texts = runpy.run_path(str(REPOSITORY / "tools" / "update_metafiles.py"))["metafiles"]()
    old = [name for name, text in texts.items() if (REPOSITORY / name).read_text(encoding="utf-8") != text]
    assert not old, f"run python tools/update_metafiles.py, for {old}"
    assert set(METAFILES) == {*REPOSITORY.glob("pretrain/**/metafile.yml")}


@pytest.mark.parametrize("path", METAFILES, ids=lambda path: path.parent.name)
def test_conventions_of_mmpretrain(path):
    """The rules that mmpretrain's checker of metafiles has, read by the library that it reads them with."""
    index = load_model_index(str(path))
    index.build_models_with_collections()
    (collection,) = index.collections
    assert (REPOSITORY / collection.readme).is_file() and {"Title", "URL"} <= collection.paper.keys()
    # this library, unlike OpenMMLab, looks for the README beside the metafile
    assert all("README" in complaint for complaint in index.check(silent=True))
    for model in index.models:
        assert model.metadata.parameters > 0 and model.metadata.flops > 0
        assert (REPOSITORY / model.config).is_file() and model.in_collection == collection.name
        for result in model.results or ():
            assert isinstance(result.dataset, str)
            assert all(isinstance(value, float) for value in result.metrics.values())


def test_mim_lists_searches_and_runs(tmp_path):
    """In the environment that the tests run in: a checkout. The model of a configuration has its name."""
    found = seen_by_mim(tmp_path)
    assert "poa_bench" in found["listed"] and found["ran"] and Path(found["root"]) == REPOSITORY
    models = found["models"]
    configs = {name for name, path in runnable_configs().items() if path.parent.name == "pretrain"}
    assert configs == {Path(model["config"]).name for model in models.values()}
    assert {Path(name).stem for name in configs} <= models.keys()
    score = f"digits/linear_top1_·_{LinearProtocol().name}"
    expected = [name for name, model in models.items() if model["parameters"] < 700000 and (model[score] or 0) > 79]
    assert expected and found["small"] == expected
    sizes = [models[name]["parameters"] for name in found["digits"]]
    assert sizes == sorted(sizes) and len(sizes) == 12 + 5  # of the kept report, and five other supernets


def test_flops_are_counted_as_openmmlab_counts_them():
    """A multiply-accumulate is one: in mmengine's tool, and in mmpretrain's model zoo, which has the same network."""
    network = timm.create_model("vit_base_patch16_224", num_classes=0).eval()
    ours = count_macs(network, 224)
    for block in network.blocks:
        block.attn.fused_attn = False  # which mmengine cannot see into
    tool = get_model_complexity_info(network, (3, 224, 224), show_table=False, show_arch=False)["flops"]
    assert ours == pytest.approx(tool, rel=0.005)  # it counts norms, too
    if found := util.find_spec("mmpretrain"):
        zoo = Path(found.origin).parent / ".mim" / "configs" / "vision_transformer" / "metafile.yml"
        models = {model["Name"]: model["Metadata"] for model in yaml.safe_load(zoo.read_text())["Models"]}
        assert ours == pytest.approx(models["vit-base-p16_32xb128-mae_in1k"]["FLOPs"], rel=0.005)
