"""Networks that others learn from and that never learn themselves: of this project, of timm, of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poa_bench.elastic import Supernet, load_supernet
from poa_bench.elastic.branch import Branch as BranchName
from poa_bench.elastic.branch import evaluated_branch
from poa_bench.elastic.checkpoint import load_strictly, load_subnet, read_preprocessing
from poa_bench.elastic.family import Output
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.elastic.training_checkpoint import branch_tensors, read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.files import sha256_file, unchanged
from poa_bench.outside.network import build_described
from poa_bench.outside.source import find_source
from poa_bench.outside.weights import load_weights
from poa_bench.pretraining.heads import ProjectionHead


class FrozenTeacher(nn.Module):
    """A stock timm network in evaluation mode, seen through the student's crops.

    Args:
        network: without classifier.
        name: of what it is, for checkpoints.
        sha256: of the file with its weights; None where it has none.
        preprocessing: how its training made inputs of pictures; None: as the student's.
        head: of its pre-training; then its class feature is what the first of them makes of it, of length 1.
        compute: what its pre-training has cost, see `ComputeHook`; None: nobody knows.

    Attributes:
        width: length of the class feature.
        channels: of its patches.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        sha256: str | None = None,
        preprocessing: Preprocessing | None = None,
        head: ProjectionHead | None = None,
        compute: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.compute = compute
        self.network, self.head = network, head
        self.name, self.sha256, self.preprocessing = name, sha256, preprocessing
        self.channels = network.feature_info[-1]["num_chs"]
        self.width = head.prototypes()[0].shape[1] if head else network.num_features
        self.register_buffer("scale", torch.ones(3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.zeros(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def see_what(self, mean: Tensor, std: Tensor) -> None:
        """Say how the crops that it gets were normalised: (3, 1, 1) each, of pixels in 0..255."""
        if self.preprocessing is not None:
            own_mean, own_std = (
                torch.tensor(values, device=mean.device).view(-1, 1, 1)
                for values in (self.preprocessing.mean, self.preprocessing.std)
            )
            self.scale, self.shift = std / own_std, (mean - own_mean) / own_std

    @torch.no_grad()
    def forward(self, images: Tensor, grid: tuple[int, int] | None = None) -> Output:
        """Class features (B, `width`) and patches (B, N, `channels`) of crops (B, 3, H, W), after the last norm.

        Args:
            images: normalised for the student.
            grid: rows and columns of the student's patches; another grid of the teacher is resized to it, bilinearly.
        """
        features, (maps,) = self.network.forward_intermediates(
            images * self.scale + self.shift, indices=1, norm=True, output_fmt="NCHW"
        )
        classes = self.network.forward_head(features, pre_logits=True)
        if self.head is not None:
            classes = self.head(classes)[0]
        if grid is not None and maps.shape[-2:] != grid:
            maps = F.interpolate(maps.float(), grid, mode="bilinear", antialias=True)
        return Output(classes, maps.flatten(2).transpose(1, 2))

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of it, see `Objective.describe`."""
        return {"teacher": self.name, "teacher_sha256": self.sha256}


def load_teacher(
    checkpoint: str | None = None,
    *,
    timm_name: str | None = None,
    pretrained: bool = False,
    spec: str | None = None,
    branch: BranchName | None = None,
    image_size: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    feature: Literal["backbone", "head"] = "backbone",
    like: Supernet | None = None,
) -> FrozenTeacher:
    """A frozen teacher.

    Args:
        checkpoint: a training checkpoint of ours, of which the intact network teaches; an extracted `.safetensors`;
            or, with `timm_name`, a file of `outside.weights.load_weights`.
        timm_name: a network of timm's registry.
        pretrained: with `timm_name`, the weights that timm has for it, from its cache or the network.
        spec: a size that is cut from a training checkpoint, in place of the intact network.
        branch: of a training checkpoint, see `load_supernet`.
        image_size: side in pixels of what a network of timm is built for, where its class cannot take any.
        arguments: of `timm.create_model`.
        feature: which class feature teaches: the `backbone`'s, or what the pre-training's `head` made of it.
        like: where weights do not matter (on the meta device, to predict costs) and no checkpoint is given, the
            teacher is taken to be as large as this.

    Raises:
        InputError: nothing, or two things are named; a file is missing or does not fit; there is no such head.
    """
    only_shapes = torch.empty(0).is_meta
    if timm_name is not None:
        if feature == "head" or spec or branch:
            raise InputError(
                "model.teacher: `spec`, `branch` and feature='head' are of our own checkpoints, not timm's"
            )
        return _of_timm(timm_name, checkpoint, pretrained, image_size, arguments, only_shapes)
    if checkpoint is None and only_shapes and like is not None:
        return FrozenTeacher(like.extract(like.space.intact), "as large as the student")
    if checkpoint is None:
        raise InputError(
            "model.teacher names no network: give model.teacher.checkpoint=FILE (of a pre-training, or extracted), or "
            "model.teacher.timm_name=NAME with model.teacher.checkpoint=FILE or model.teacher.pretrained=True"
        )
    return _of_file(checkpoint, spec, branch, feature)


def _of_timm(
    name: str,
    weights: str | None,
    pretrained: bool,
    image_size: int | None,
    arguments: Mapping[str, Any] | None,
    only_shapes: bool,
) -> FrozenTeacher:
    if weights is None and not pretrained and not only_shapes:
        raise InputError(
            f"model.teacher.timm_name is {name}, without weights: give model.teacher.checkpoint=FILE, or "
            "model.teacher.pretrained=True where timm may download them"
        )
    source = find_source(name, weights, image_size, arguments, with_weights=not only_shapes)
    network, sha256 = build_described(source.description), None
    if not only_shapes:
        sha256 = load_weights(network, source.weights, source.spec).sha256
    return FrozenTeacher(network, str(source.spec), sha256, source.preprocessing)


def _of_file(path: str, spec: str | None, branch: BranchName | None, feature: str) -> FrozenTeacher:
    if Path(path).suffix == ".safetensors":
        if feature == "head" or spec or branch:
            raise InputError(f"{path} is one size without heads: `spec`, `branch`, feature='head' are of checkpoints")
        with unchanged(path):
            network, metadata = load_subnet(path)
            return FrozenTeacher(network, metadata["spec"], sha256_file(path), read_preprocessing(path))
    with unchanged(path):
        supernet = load_supernet(path, branch)
        head = load_head(path, branch) if feature == "head" else None
        compute = read_training_checkpoint(path)["meta"].get("compute")
    size = supernet.space.parse(spec) if spec else supernet.space.intact
    sha256, seen = supernet.source_sha256, supernet.preprocessing
    return FrozenTeacher(supernet.extract(size), str(size), sha256, seen, head, compute)


def load_head(path: str | Path, branch: BranchName | None = None) -> ProjectionHead:
    """The heads with prototypes of a training checkpoint's branch.

    Raises:
        InputError: the file cannot be read, or its heads are of another kind.
    """
    checkpoint = read_training_checkpoint(path)
    tensors = branch_tensors(checkpoint, branch or evaluated_branch(checkpoint), path, part="head")
    first, last = tensors.get("mlp0.0.weight"), tensors.get("mlp0.4.weight")
    heads = sum(name.endswith(".weight_v") for name in tensors)
    if first is None or last is None or not heads:
        raise InputError(
            f"{path} has no heads with prototypes (its heads hold {', '.join(sorted(tensors)[:4])}): give the "
            "checkpoint of a POA pre-training"
        )
    counts = [len(tensors[f"last_layer{number}.weight_v"]) for number in range(heads)]
    head = ProjectionHead(first.shape[1], counts, len(first), len(last))
    load_strictly(head, tensors, path)
    return head
