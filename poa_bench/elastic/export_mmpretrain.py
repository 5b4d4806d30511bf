"""Stock timm networks as mmpretrain backbones: the config and the renamed tensors. mmpretrain itself is not needed."""

import re
from collections.abc import Callable
from typing import Any

from timm.models.swin_transformer import get_relative_position_index
from torch import Tensor, nn

from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.elastic.space import SubnetSpec
from poa_bench.errors import InputError

Config = dict[str, Any]
Tensors = dict[str, Tensor]
# arguments that both libraries have, or that do not change the network
_COMMON = {"num_classes", "global_pool", "img_size", "patch_size", "embed_dim", "num_heads", "dynamic_img_size"}
_EXPRESSIBLE = {
    "vit": _COMMON | {"depth", "init_values", "mlp_ratio", "dynamic_img_pad"},
    "swin": _COMMON | {"depths", "window_size"},
    "resnet": {"num_classes", "global_pool", "layers", "base_width", "channels", "norm_layer", "num_groups"},
}
_TRANSFORMER_NAMES = {
    r"patch_embed\.proj\.": "patch_embed.projection.",
    r"\.mlp\.fc1\.": ".ffn.layers.0.0.",
    r"\.mlp\.fc2\.": ".ffn.layers.1.",
}
_VIT_NAMES = {
    **_TRANSFORMER_NAMES,
    r"^blocks\.(\d+)\.norm": r"layers.\1.ln",
    r"^blocks\.": "layers.",
    r"\.ls1\.gamma$": ".attn.gamma1.weight",
    r"\.ls2\.gamma$": ".ffn.gamma2.weight",
    r"^norm\.": "ln1.",
}
_SWIN_NAMES = {
    **_TRANSFORMER_NAMES,
    r"\.attn\.": ".attn.w_msa.",
    r"^norm\.": "norm3.",
}
# of ResNets with GroupNorm, as the paper's are; with BatchNorm both libraries have the same names
_NAMES = {"vit": _VIT_NAMES, "swin": _SWIN_NAMES, "resnet": {r"\bbn(\d)": r"gn\1"}}
MERGING = "downsample"  # in the names of what halves a Swin's maps
_RESNET_DEPTHS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


def mmpretrain_backbone(spec: SubnetSpec, arguments: Config, network: nn.Module) -> tuple[Config, Tensors]:
    """The same network for mmpretrain.

    Args:
        spec: the size.
        arguments: the timm class's.
        network: the timm module.

    Returns:
        A backbone config, and the tensors that it loads strictly.

    Raises:
        InputError: mmpretrain's class cannot express this network.
    """
    if spec.family not in _CONVERTERS:
        raise InputError(f"mmpretrain has no counterpart of the family {spec.family!r}: export it to timm, hf or onnx")
    if foreign := sorted(set(arguments) - _EXPRESSIBLE[spec.family]):
        raise InputError(f"mmpretrain's class cannot express timm's {', '.join(foreign)} of {spec}: export it to timm")
    return _CONVERTERS[spec.family](spec, arguments, network)


def equal_for(spec: SubnetSpec, size: int) -> str:
    """For which images, besides those of `size` px that the network is built for, mmpretrain computes the same."""
    # its Swin pads before it shifts, but refuses maps below a window, and does not shift a map with one side of it
    return f"square images of {size} px or more" if spec.family == "swin" else f"{size} px"


def mmpretrain_inputs(preprocessing: Preprocessing) -> Config:
    """Entries of a config, `data_preprocessor` and `test_pipeline`: from picture files to the training's inputs."""
    size = preprocessing.image_size
    normalisation = {"mean": list(preprocessing.mean), "std": list(preprocessing.std)}
    resizing = {"edge": "short", "backend": "pillow", "interpolation": preprocessing.interpolation}
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "ResizeEdge", "scale": preprocessing.resize(), **resizing},
        {"type": "CenterCrop", "crop_size": size},
        {"type": "PackInputs"},
    ]
    preprocessor = {"type": "mmpretrain.ClsDataPreprocessor", **normalisation, "to_rgb": True}
    return {"data_preprocessor": preprocessor, "test_pipeline": pipeline}


def _vit(spec: SubnetSpec, arguments: Config, network: nn.Module) -> tuple[Config, Tensors]:
    config = {
        "type": "mmpretrain.VisionTransformer",
        "arch": {
            "embed_dims": arguments["embed_dim"],
            "num_layers": arguments["depth"],
            "num_heads": arguments["num_heads"],
            "feedforward_channels": network.blocks[0].mlp.fc1.out_features,
        },
        "img_size": arguments.get("img_size", 224),
        "patch_size": arguments.get("patch_size", 16),
        "layer_scale_init_value": arguments.get("init_values") or 0.0,
    }
    return config, _renamed(network.state_dict(), "vit")


def _swin(spec: SubnetSpec, arguments: Config, network: nn.Module) -> tuple[Config, Tensors]:
    windows = [stage.blocks[0].window_size for stage in network.layers]
    if any(height != width for height, width in windows):
        raise InputError(f"mmpretrain.SwinTransformer has square windows only, {spec} has {windows}: export it to timm")
    config = {
        "type": "mmpretrain.SwinTransformer",
        "arch": {
            "embed_dims": arguments["embed_dim"],
            "depths": arguments["depths"],
            "num_heads": arguments["num_heads"],
        },
        "img_size": arguments.get("img_size", 224),
        "patch_size": arguments.get("patch_size", 4),
        # timm shrinks the windows of a stage to its map
        "stage_cfgs": [{"window_size": window} for window, _ in windows],
    }
    ordered = {
        name: _unfold_order(tensor) if MERGING in name else tensor for name, tensor in network.state_dict().items()
    }
    tensors = _renamed(ordered, "swin")
    for name in [name for name in tensors if name.endswith("relative_position_bias_table")]:
        window, _ = windows[int(name.split(".")[1])]
        index = get_relative_position_index(window, window)
        tensors[name.replace("bias_table", "index")] = index  # a parameter-like buffer there
    return config, tensors


def _merged_before(name: str) -> str:
    """timm merges patches at the start of a stage, mmpretrain at the end of the one before."""
    return re.sub(r"layers\.(\d)", lambda match: f"layers.{int(match[1]) - 1}", name)


def _unfold_order(tensor: Tensor) -> Tensor:
    """Last axis from timm's order of merged inputs (column, row, channel) to nn.Unfold's (channel, row, column)."""
    parts = tensor.unflatten(-1, (2, 2, -1))
    return parts.transpose(-1, -3).flatten(-3).contiguous()


def merged_order(tensor: Tensor) -> Tensor:
    """The inverse of `_unfold_order`."""
    parts = tensor.unflatten(-1, (-1, 2, 2))
    return parts.transpose(-1, -3).flatten(-3).contiguous()


def _resnet(spec: SubnetSpec, arguments: Config, network: nn.Module) -> tuple[Config, Tensors]:
    depth = _RESNET_DEPTHS.get(tuple(arguments["layers"]))
    planes = arguments.get("channels", (64, 128, 256, 512))
    expansion, remainder = divmod(planes[0] * 4, spec.width)
    doubled = [planes[0] * 2**stage for stage in range(4)]
    if depth is None or remainder or list(planes) != doubled:
        raise InputError(
            f"mmpretrain.ResNet cannot express {spec}: it has the depths {', '.join(map(str, _RESNET_DEPTHS))}, not "
            f"{tuple(arguments['layers'])}, and block widths that are a multiple of the mid width; export it to timm"
        )
    config = {
        "type": "mmpretrain.ResNet",
        "depth": depth,
        "stem_channels": network.conv1.out_channels,
        "base_channels": spec.width,
        "expansion": expansion,
        "norm_cfg": {"type": "GN", "num_groups": network.bn1.num_groups},
    }
    return config, _renamed(network.state_dict(), "resnet")


def mmpretrain_name(name: str, family: str) -> str:
    """What mmpretrain's class calls a tensor of timm's class.

    >>> mmpretrain_name("blocks.3.mlp.fc1.weight", "vit"), mmpretrain_name("layers.1.downsample.norm.bias", "swin")
    ('layers.3.ffn.layers.0.0.weight', 'stages.0.downsample.norm.bias')
    """
    if family == "swin":
        name = (_merged_before(name) if MERGING in name else name).replace("layers.", "stages.", 1)
    for pattern, replacement in _NAMES[family].items():
        name = re.sub(pattern, replacement, name)
    return name


def _renamed(tensors: Tensors, family: str) -> Tensors:
    return {mmpretrain_name(name, family): tensor for name, tensor in tensors.items()}


_CONVERTERS: dict[str, Callable[[SubnetSpec, Config, nn.Module], tuple[Config, Tensors]]] = {
    "vit": _vit,
    "swin": _swin,
    "resnet": _resnet,
}
