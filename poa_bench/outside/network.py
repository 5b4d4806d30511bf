"""A stock timm network with somebody else's weights, as what measures the sizes of a supernet asks for it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import split_model_name_tag
from torch import Tensor, nn

from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.outside.name import OneSize, OutsideSpec
from poa_bench.outside.weights import load_weights

# what makes a network of timm take images of any size, as far as its class knows how
_ANY_SIZE = ({"dynamic_img_size": True, "dynamic_img_pad": True}, {"dynamic_img_size": True}, {})


class OutsideNetwork(nn.Module):
    """The part of `Supernet` by which networks are measured, for a network of one size.

    Args:
        description: of `source.describe`.
        network: what `build` makes of it.

    Attributes:
        network: the stock timm module; its forward gives the class feature.
        preprocessing: how pictures become its inputs.
        source_sha256: of the file that its weights were read from; None where they were not.
    """

    source_sha256: str | None = None

    def __init__(self, description: Mapping[str, Any], network: nn.Module) -> None:
        super().__init__()
        self.space = OneSize(OutsideSpec(description["timm"]))
        self.preprocessing = Preprocessing.from_dict(description["preprocessing"])
        self.network = network

    @classmethod
    def load(cls, description: Mapping[str, Any], weights: str | Path) -> OutsideNetwork:
        """The network with all tensors of a file, in evaluation mode.

        Raises:
            InputError: the file does not fill the network, or holds more; see `load_weights`.
        """
        network = build_described(description)
        report = load_weights(network, weights, OutsideSpec(description["timm"]))
        net = cls(description, network).eval()
        net.source_sha256 = report.sha256
        return net

    @classmethod
    def random(cls, description: Mapping[str, Any], seed: int) -> OutsideNetwork:
        """The control: the same network with the weights that timm starts it from."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return cls(description, build_described(description)).eval()

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that it sees."""
        return self.preprocessing.image_size

    def width(self, spec: OutsideSpec) -> int:
        """Length of the class feature."""
        return feature_length(self.extract(spec))

    def class_feature(self, spec: OutsideSpec) -> Callable[[Tensor], Tensor]:
        """What makes class features (B, w) of images (B, 3, H, W)."""
        return self.extract(spec)

    def extract(self, spec: OutsideSpec) -> nn.Module:
        """The network itself."""
        self.space.parse(spec)
        return self.network

    skeleton = extract  # its shapes are what a supernet's skeletons are asked for


def build_described(description: Mapping[str, Any]) -> nn.Module:
    """The network of a description, see `build`."""
    return build(description["timm"], description["arguments"], description["preprocessing"]["image_size"])


def build(name: str, arguments: Mapping[str, Any] | None = None, image_size: int | None = None) -> nn.Module:
    """A network of timm's registry with random weights, without classifier; its forward gives the class feature.

    That is the class token after the last norm where the network has one and norms it, as the field evaluates DINOv2,
    DINOv3, MAE and others, whatever the pooling of timm's classifier; else what timm's classifier would get.

    Args:
        name: timm's, with or without a tag.
        arguments: of `timm.create_model`.
        image_size: side in pixels that a network is built for, if its class cannot take any.

    Raises:
        InputError: timm has no network of this name, or not with these arguments.
    """
    check_name(name)
    given = {"num_classes": 0, **(arguments or {})}
    fixed = [] if image_size is None else [{"img_size": image_size}]
    for flexible in (*_ANY_SIZE[:-1], *fixed, _ANY_SIZE[-1]):
        try:
            network = timm.create_model(name, **{**flexible, **given})
            break
        except TypeError as error:
            if flexible and "unexpected keyword" in str(error) and not any(f"'{key}'" in str(error) for key in given):
                continue  # of a class that has no such argument
            raise InputError(f"timm cannot build {name} with {dict(arguments or {})}: {error}") from error
        except (RuntimeError, ValueError, AssertionError) as error:
            raise InputError(f"timm cannot build {name} with {dict(arguments or {})}: {error}") from error
    normed = not isinstance(getattr(network, "norm", nn.Identity()), nn.Identity)
    if normed and getattr(network, "global_pool", "") == "avg" and has_class_token(network):
        network.reset_classifier(0, "token")
    return network


def check_name(name: str) -> None:
    """Raise InputError, with names that are spelt alike, if timm knows no network of this name and tag."""
    plain, tag = split_model_name_tag(name)
    if timm.is_model(plain) and (not tag or name in timm.list_models(f"{plain}.*", pretrained=True)):
        return
    known = timm.list_models(f"{plain}.*", pretrained=True) if timm.is_model(plain) else []
    near = difflib.get_close_matches(name, known or [*timm.list_models(), *timm.list_models(pretrained=True)], n=4)
    if known:
        near = near or known[:4]
        raise InputError(f"timm {timm.__version__} knows no weights {tag!r} of {plain}: it has {', '.join(near)}")
    meant = f"did you mean {', '.join(near)}?" if near else "timm.list_models() says what there is"
    raise InputError(f"timm {timm.__version__} knows no network {name!r}: {meant}")


def has_class_token(network: nn.Module) -> bool:
    """Whether the first of its tokens stands for the whole image."""
    return bool(getattr(network, "has_class_token", getattr(network, "cls_token", None) is not None))


def feature_length(network: nn.Module) -> int:
    """Length of what its forward gives."""
    return getattr(network, "head_hidden_size", None) or network.num_features
