"""Tools and inferencers of mmdet, mmseg and mmpretrain on trained heads: the right size's number, or a sentence."""

import shutil
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from poa_bench import launch
from poa_bench.config_files import find_config, read_config
from poa_bench.datasets.scenes import scenes_folder
from poa_bench.errors import InputError
from tests.downstream.networks import tiny_supernet, write_checkpoint
from tests.downstream.trained import CONFIGS, FEW, SIZE, arguments, measured, run_tool, train

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

FORGOTTEN = (
    f"network with spec={SIZE}, but the config builds one with spec=vit-w96-d4: add --cfg-options model.backbone"
)
SPEC = f"model.backbone.spec={SIZE}"
SCORE = {"mmdet": "coco/bbox_mAP", "mmseg": "mIoU"}
# an untrained head is sure of nothing
UNSURE = {"mmdet": ["model.test_cfg.rcnn.score_thr=0.0"], "mmseg": []}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of two iterations for each library, in the folder of its training."""
    folders = {library: tmp_path_factory.mktemp(library) for library in CONFIGS}
    return {library: train(library, folder, SPEC, *UNSURE[library]) for library, folder in folders.items()}


@pytest.fixture
def picture() -> str:
    return str(scenes_folder() / "images/val/000001.jpg")


@pytest.mark.parametrize("library", CONFIGS)
def test_their_tool_gives_our_number_or_stops(library, trained, tmp_path):
    checkpoint = trained[library]
    (ours,) = measured(checkpoint.parent, SCORE[library])
    run_tool(library, checkpoint, tmp_path / "right", SPEC, *UNSURE[library])
    assert measured(tmp_path / "right", SCORE[library])[:1] == [ours]
    with pytest.raises(InputError, match=f"{FORGOTTEN}.spec={SIZE}$"):
        run_tool(library, checkpoint, tmp_path / "forgotten", *UNSURE[library])
    assert not measured(tmp_path / "forgotten", SCORE[library])


@pytest.mark.parametrize("library", CONFIGS)
def test_our_tool_builds_what_the_checkpoint_holds(library, trained, tmp_path):
    checkpoint = trained[library]
    (ours,) = measured(checkpoint.parent, SCORE[library])
    name, options = CONFIGS[library], [*FEW, *UNSURE[library]]
    launch.test(arguments(name, tmp_path / "forgotten", *options, checkpoint=str(checkpoint)))
    assert measured(tmp_path / "forgotten", SCORE[library])[:1] == [ours]
    with pytest.raises(InputError, match=f"network with spec={SIZE}, but the config builds one with spec=vit-w64-d2"):
        other = "model.backbone.spec=vit-w64-d2"
        launch.test(arguments(name, tmp_path / "other", *options, other, checkpoint=str(checkpoint)))


def test_a_training_goes_on_with_the_size_of_its_checkpoint(trained, tmp_path):
    """After `--resume`, and from `load_from`; another size that is asked for is not trained."""
    folder = tmp_path / "run"
    first = shutil.copy(train("mmseg", folder, SPEC), tmp_path)  # the run keeps its last one only
    second = train("mmseg", folder, iterations=3, resume="auto")
    third = train("mmseg", tmp_path / "loaded", f"load_from={first}")
    for path in (second, third):
        tensors = torch.load(path, weights_only=False)["state_dict"]
        assert tensors["backbone.network.norm.weight"].shape == (32,)
    with pytest.raises(InputError, match="but the config builds one with spec=vit-w64-d2"):
        train("mmseg", folder, "model.backbone.spec=vit-w64-d2", iterations=4, resume="auto")


def test_weights_of_other_heads_are_no_result(trained, tmp_path):
    """The size fits, but an option of the head was forgotten, or it is the checkpoint of another config."""
    options = [SPEC, "model.decode_head.num_convs=1"]
    for tool in (
        lambda: run_tool("mmseg", trained["mmseg"], tmp_path / "theirs", *options),
        lambda: launch.test(
            arguments(CONFIGS["mmseg"], tmp_path / "a", *FEW, *options, checkpoint=str(trained["mmseg"]))
        ),
    ):
        with pytest.raises(InputError, match=r"\d+ of the \d+ tensors of the network are not in the checkpoint"):
            tool()
    with pytest.raises(InputError, match="label 0 is 'digit' in the checkpoint"):
        launch.test(arguments(CONFIGS["mmseg"], tmp_path / "b", *FEW, checkpoint=str(trained["mmdet"])))


def test_a_pretraining_instead_of_a_trained_model(tmp_path):
    supernet = write_checkpoint(tiny_supernet("vit"), tmp_path / "supernet.pth")
    with pytest.raises(InputError, match="none of the .*weights of a pre-training are model.backbone.init_cfg.checkp"):
        launch.test(arguments(CONFIGS["mmseg"], tmp_path / "work", *FEW, checkpoint=str(supernet)))


def test_detectors_in_python(trained, picture):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config, checkpoint = str(find_config(CONFIGS["mmdet"])), str(trained["mmdet"])
    with pytest.raises(InputError, match=FORGOTTEN):
        init_detector(config, checkpoint, device="cpu")
    with pytest.raises(InputError, match=FORGOTTEN):
        DetInferencer(config, checkpoint, device="cpu")
    options = {"model.backbone.spec": SIZE, "model.test_cfg.rcnn.score_thr": 0.0}
    found = inference_detector(init_detector(config, checkpoint, device="cpu", cfg_options=options), picture)
    same = DetInferencer(weights=checkpoint, device="cpu", show_progress=False)(picture)["predictions"][0]
    assert len(found.pred_instances.scores) > 0
    np.testing.assert_allclose(same["bboxes"], found.pred_instances.bboxes.numpy(), rtol=1e-5)


def test_segmentors_in_python(trained, picture):
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    config, checkpoint = str(find_config(CONFIGS["mmseg"])), str(trained["mmseg"])
    with pytest.raises(InputError, match=FORGOTTEN):
        init_model(config, checkpoint, device="cpu")
    with pytest.raises(InputError, match=FORGOTTEN):
        MMSegInferencer(config, checkpoint, device="cpu")
    options = {"model.backbone.spec": SIZE}
    found = inference_model(init_model(config, checkpoint, device="cpu", cfg_options=options), picture)
    resolved = next(trained["mmseg"].parent.glob("*_resolved.py"))
    same = MMSegInferencer(str(resolved), checkpoint, device="cpu", show_progress=False)(picture)["predictions"]
    np.testing.assert_array_equal(same, found.pred_sem_seg.data[0].numpy())


def test_classifiers_in_python_and_by_their_tool(tmp_path):
    pytest.importorskip("mmpretrain")
    from mmengine.runner import save_checkpoint
    from mmpretrain import ImageClassificationInferencer, get_model

    init_default_scope("mmpretrain")
    for label in "ab":
        for number in range(3):
            path = tmp_path / "data/imagenet/val" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((40, 40, 3), 80 * number + 40 * (label == "b"), np.uint8))
    name = str(find_config("finetune_vit-s_imagenet.py"))
    config = read_config(name, {"model.backbone.spec": "vit-w64-d2"})
    model = get_model(config)
    state = {"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": tuple(map(str, range(1000)))}}}
    save_checkpoint(state, str(tmp_path / "dense.pth"))
    checkpoint = str(tmp_path / "dense.pth")
    with pytest.raises(InputError, match="add --cfg-options model.backbone.spec=vit-w64-d2$"):
        ImageClassificationInferencer(name, pretrained=checkpoint, device="cpu")
    infer = ImageClassificationInferencer(name, checkpoint, device="cpu", backbone={"spec": "vit-w64-d2"})
    scores = infer(str(path))[0]["pred_scores"]
    said = [f"test_dataloader.{key}" for key in ("num_workers=0", "persistent_workers=False")]
    said += [f"test_dataloader.dataset.{key}" for key in (f"data_root={tmp_path}/data/imagenet", "ann_file=val.txt")]
    listed = "".join(f"{label}/{number}.jpg 0\n" for label in "ab" for number in range(3))
    (tmp_path / "data/imagenet/val.txt").write_text(listed)
    tool = ["--out", str(tmp_path / "found.pkl")]
    options = [*said, "model.backbone.spec=vit-w64-d2"]
    run_tool("mmpretrain", Path(checkpoint), tmp_path / "work", *options, config=name, words=tool)
    found = mmengine.load(tmp_path / "found.pkl")
    np.testing.assert_allclose(found[-1]["pred_score"].numpy(), scores, rtol=1e-4)
    wrapped = "model.module.backbone.spec=vit-w64-d2"
    run_tool("mmpretrain", Path(checkpoint), tmp_path / "work", *said, wrapped, config=name, words=[*tool, "--tta"])
    found = mmengine.load(tmp_path / "found.pkl")  # a grey picture is its own mirror image
    np.testing.assert_allclose(found[-1]["pred_score"].numpy(), scores, rtol=1e-2)
    with pytest.raises(InputError, match="add --cfg-options model.backbone.spec=vit-w64-d2$"):
        run_tool("mmpretrain", Path(checkpoint), tmp_path / "work", *said, config=name)
