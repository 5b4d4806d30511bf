"""`SubnetBackbone`: one sub-network as the backbone of a stock mmdet, mmseg or mmpretrain model."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from timm.models import group_parameters
from torch import Tensor, nn

from poa_bench.downstream.description import BUFFER, check_tensors, describe, space_of, to_tensor
from poa_bench.downstream.layer_decay import timm_layer_depths
from poa_bench.elastic import SubnetSpec, Supernet, load_backbone
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec, parse_spec
from poa_bench.outside.network import build
from poa_bench.outside.weights import load_weights
from poa_bench.registry import MODELS

# of the depth: blocks 3, 5, 7, 11 of ViT-S/B and 7, 11, 15, 23 of ViT-L, as in BEiT, iBOT and POA
OUT_FRACTIONS = (1 / 3, 1 / 2, 2 / 3, 1.0)
_OF_POOLING = ("fc_norm.", "head.", "attn_pool.")  # after the maps, in networks from outside
OUTPUTS = ("levels", "pooled", "pooled_stages")


@MODELS.register_module()
class SubnetBackbone(BaseModule):
    """A stock timm network of one size, with the weights of a pre-trained supernet or of an extracted file.

    The size and the weights are the two things that a command line has to say::

        --cfg-options model.backbone.spec=vit-w64-d4 model.backbone.init_cfg.checkpoint=supernet.pth

    `init_weights` loads every tensor or stops, and logs `loaded 150/150 tensors (100 %)`; without a checkpoint the
    network keeps its random initialisation, and the log says so.

    Args:
        spec: the size, `vit-w384-d12`, `swin-w96-d6`, `resnet-w64-d4-6` or an alias such as `vit-s`; or a network from
            outside, `timm:NAME`, whose checkpoint is then any file of `outside.weights.load_weights`.
        families: for each family how its networks are built, as they were for pre-training: `head_dim` and the
            arguments of `Supernet` (`image_size`, `patch_size`, `init_values`, ...). Only the entry of the spec's
            family is used, so one config serves all families. `timm`, arguments of `timm.create_model`, may be left
            out.
        output: `levels` (multi-scale maps, for dense heads), `pooled` (the class feature, for classification) or
            `pooled_stages` (networks with stages: the means of all stages but the first, one after the other).
        out_fractions: ViT only: which blocks give the levels, as fractions of the depth; the last must be 1.
            Networks that halve their maps (Swin, ResNet) give their four stages.
        final_norm: apply the network's last norm to the levels (ViT: all; Swin: the last). The paper does not.
        frozen_stages: train no parameter of the stem and of the first n blocks (ViT) or stages (Swin, ResNet);
            0 freezes the stem, -1 nothing, `all` the whole backbone (it then runs without gradients).
        drop_path_rate: stochastic depth, growing linearly over the blocks up to this rate.
        with_cp: recompute activations in the backward pass, to save memory.
        init_cfg: `dict(type='Pretrained', checkpoint=PATH_OR_NONE, branch=None)`, see `load_supernet`. A `prefix`, as
            other backbones want it, is accepted: the checkpoint itself says where its backbone is.

    Attributes:
        network: the timm module.
        channels, strides: of the levels.
        features: length of what a classifier gets.
        load_report: what `init_weights` loaded (`.loaded`, `.total`, `.sha256`), None for random initialisation.
        description: (bytes,) uint8, what its checkpoints say of the network; loading another one's weights stops.

    Raises:
        InputError: unknown spec or family, bad fractions, or weights that do not belong to this network.
    """

    def __init__(
        self,
        spec: str | SubnetSpec,
        families: dict[str, dict[str, Any]],
        output: Literal["levels", "pooled", "pooled_stages"] = "levels",
        out_fractions: Sequence[float] = OUT_FRACTIONS,
        final_norm: bool = False,
        frozen_stages: int | Literal["all"] = -1,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=_checked_init_cfg(init_cfg))
        if output not in OUTPUTS:
            raise InputError(f"backbone output {output!r} is unknown: use one of {', '.join(OUTPUTS)}")
        self.spec = parse_spec(spec)
        self.output = output
        self.final_norm = final_norm
        self.network = build_network(self.spec, families, drop_path_rate=drop_path_rate)
        self.network.set_grad_checkpointing(with_cp)
        self.indices, self.channels, self.strides = levels_of(self.network, out_fractions)
        self.features = length_of_features(self.network, self.channels, output)
        self.load_report = None
        levels = {"out_fractions": list(out_fractions), "final_norm": final_norm} if output == "levels" else {}
        self._description = describe(self.spec, families, **levels)
        self.register_buffer(BUFFER, to_tensor(self._description))
        self._shapes = {f"network.{name}": tensor.shape for name, tensor in self.network.state_dict().items()}
        self._layer_depths = timm_layer_depths(self.network)
        self._freeze(frozen_stages)

    def init_weights(self) -> None:
        """Load the checkpoint of `init_cfg`, all tensors or none."""
        logger = MMLogger.get_current_instance()
        init_cfg = self.init_cfg or {}
        checkpoint = init_cfg.get("checkpoint")
        if checkpoint is None:
            logger.info(f"backbone {self.spec}: no checkpoint given, random initialisation")
            return
        if isinstance(self.spec, OutsideSpec):
            self.load_report = load_weights(self.network, checkpoint, self.spec)
            logger.info(f"backbone: {self.load_report}")
            return
        module, report = load_backbone(checkpoint, spec=self.spec, branch=init_cfg.get("branch"))
        copy_weights(module, self.network, checkpoint)
        self.load_report = report
        logger.info(f"backbone: {report}")
        if inputs := getattr(module, "pretrained_cfg", None):
            logger.info(
                f"backbone: pre-training normalised RGB in 0..1 with mean {inputs['mean']}, std {inputs['std']}"
            )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), any size -> four maps (B, channels[i], ~H / strides[i], ~W / strides[i]), or (B, features).

        The maps are contiguous, whatever the layout of the images: see `contiguous_maps`.
        """
        images = pad_to_multiple(images, self._patch_size())
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._trains):
            if self.output == "pooled":
                return (self.network(images),)
            maps = self.network.forward_intermediates(
                images, indices=self.indices, norm=self.final_norm, output_fmt="NCHW", intermediates_only=True
            )
        # a very shallow network gives the same block for two fractions, and timm returns it once
        position = {index: place for place, index in enumerate(sorted(set(self.indices)))}
        levels = contiguous_maps(maps[position[index]] for index in self.indices)
        if self.output == "pooled_stages":
            return (torch.cat([level.mean((2, 3)) for level in levels[1:]], dim=1),)
        return levels

    def train(self, mode: bool = True) -> "SubnetBackbone":
        """Frozen parts stay in evaluation mode (no stochastic depth in them)."""
        super().train(mode)
        for module in self.network.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """(depth, number of depths) of a parameter, for layer-wise learning-rate decay.

        Depth 0 is the stem, then one for each block; the last one is for the network's last norm (as BEiT, iBOT, POA
        and mmpretrain have it) and for everything outside the backbone, that is for names which do not start with
        `prefix`.
        """
        depths = self._layer_depths
        total = max(depths.values()) + 2
        inside = f"{prefix}network."
        if not param_name.startswith(inside) or param_name.startswith(f"{inside}norm."):
            return total - 1, total
        return depths[param_name[len(inside) :]], total

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """What torch's and mmengine's loading call, strict or not: another network's weights are refused."""
        check_tensors(self._description, self._shapes, state_dict, prefix)
        state_dict[f"{prefix}{BUFFER}"] = self.get_buffer(BUFFER)  # older checkpoints have none
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _patch_size(self) -> tuple[int, int]:
        patch_embed = getattr(self.network, "patch_embed", None)
        return (1, 1) if patch_embed is None else tuple(patch_embed.patch_size)

    def _freeze(self, frozen_stages: int | str) -> None:
        self._trains = frozen_stages != "all"
        stages = group_parameters(self.network, self.network.group_matcher(coarse=True), reverse=True)
        last = max(stages.values()) if frozen_stages == "all" else frozen_stages
        for name, parameter in self.network.named_parameters():
            # what maps do not pass through gets no gradient, which distributed training would wait for
            unused = name.startswith(_OF_POOLING) or (name.startswith("norm.") and not self.final_norm)
            parameter.requires_grad_(stages[name] > last and not (unused and self.output != "pooled"))


def build_network(spec: SubnetSpec | OutsideSpec, families: dict[str, dict[str, Any]], **options: Any) -> nn.Module:
    """The stock timm module of one size, randomly initialised; its forward gives the pooled class feature.

    Args:
        spec: the size.
        families: see `SubnetBackbone`.
        options: further arguments of `Supernet`.
    """
    if isinstance(spec, OutsideSpec):
        rates = {name: value for name, value in options.items() if value}  # not every class has drop path
        network = build(spec.timm, {**families.get(spec.family, {}), **rates})
        if not hasattr(network, "forward_intermediates"):
            raise InputError(
                f"timm's {spec.timm} gives no maps (it has no forward_intermediates): take another network"
            )
        return network
    if spec.family not in families:
        raise InputError(f"the config knows no {spec.family} networks, only {sorted(families)}: add it to `families`")
    family_options = {**families[spec.family], **options}
    head_dim = family_options.pop("head_dim", None)
    return Supernet(space_of(spec, head_dim), **family_options).extract(spec)  # a supernet of one size


def levels_of(
    network: nn.Module, out_fractions: Sequence[float] = OUT_FRACTIONS
) -> tuple[list[int], list[int], list[int]]:
    """timm's feature indices of the levels, and the channels and stride of each.

    Where all features have the same stride (ViT): the blocks at `out_fractions` of the depth; else (Swin, ResNet): the
    last four entries, that is the stages.
    """
    info = network.feature_info
    if len({feature["reduction"] for feature in info}) > 1:
        indices = list(range(len(info) - 4, len(info)))
    else:
        if not out_fractions or not all(0 < fraction <= 1 for fraction in out_fractions) or out_fractions[-1] != 1:
            raise InputError(f"out_fractions {list(out_fractions)} must lie in (0, 1] and end with 1, the last block")
        indices = [max(round(fraction * len(info)) - 1, 0) for fraction in out_fractions]
    return indices, [info[index]["num_chs"] for index in indices], [info[index]["reduction"] for index in indices]


def length_of_features(network: nn.Module, channels: Sequence[int], output: str = "pooled") -> int:
    """Length of what a classifier gets: the class feature, or for `pooled_stages` all stages but the first together.

    Raises:
        InputError: `pooled_stages` of a network that has none.
    """
    if output != "pooled_stages":
        return network.num_features
    if len(set(channels)) == 1:
        raise InputError(f"output 'pooled_stages' is for networks with stages; {type(network).__name__} has none")
    return sum(channels[1:])


def copy_weights(source: nn.Module, target: nn.Module, name: str) -> None:
    """Copy all tensors, and make sure that both networks then compute the same.

    The last check finds what shapes cannot show, such as another head dimension or window size.

    Raises:
        InputError: tensors are missing, left over or of another shape, or the two networks differ.
    """
    try:
        target.load_state_dict(source.state_dict(), strict=True)
    except RuntimeError as error:
        raise InputError(
            f"the network of {name} is not the one that this config builds; set `families` as it was for "
            f"pre-training ({error})"
        ) from error
    size = getattr(getattr(source, "patch_embed", None), "img_size", None) or (64, 64)
    probe = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    training = target.training
    with torch.no_grad():
        same = torch.allclose(source.eval()(probe), target.eval()(probe), rtol=1e-4, atol=1e-5)
    target.train(training)
    if not same:
        raise InputError(
            f"all tensors of {name} fit, but the network that this config builds computes something else: set "
            f"`families` (head_dim, window_size, ...) as it was for pre-training"
        )


def contiguous_maps(maps: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The same maps, contiguous in memory.

    What is compiled for heads may not look at strides: mmcv's RoIAlign reads a channels-last map as if it were
    contiguous, and training then goes on with scrambled features (mmcv issue 2203).
    """
    return tuple(map_.contiguous() for map_ in maps)


def pad_to_multiple(images: Tensor, multiple: tuple[int, int]) -> Tensor:
    """Pad (B, C, H, W) with zeros at the bottom and right until H and W are multiples."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple[0], -width % multiple[1]
    return F.pad(images, (0, right, 0, bottom)) if bottom or right else images


def _checked_init_cfg(init_cfg: dict[str, Any] | None) -> dict[str, Any] | None:
    allowed = {"type", "checkpoint", "branch", "prefix"}
    if init_cfg is not None and (unknown := set(init_cfg) - allowed):
        raise InputError(f"unknown keys {sorted(unknown)} in the backbone's init_cfg: allowed are {sorted(allowed)}")
    return init_cfg
