"""The module `mmcv._ext` made of torchvision's operators (see `poa_bench.operators`).

mmcv's Python code calls these functions by name and expects results in the tensors that it passes: names and arguments
are mmcv's. Every other name is there too, since `mmcv.ops` asks for all of them at import, and raises one sentence when
it is called.
"""

from collections.abc import Callable
from typing import NoReturn

import torch
import torchvision

from poa_bench.errors import InputError
from poa_bench.operators.deformable import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from poa_bench.operators.regions import (
    nms,
    roi_align_backward,
    roi_align_forward,
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softnms,
)

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "get_compiler_version",
    "get_compiling_cuda_version",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
    "nms",
    "roi_align_backward",
    "roi_align_forward",
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softnms",
]


def get_compiler_version() -> str:
    """What mmcv says of itself in every log, instead of a compiler."""
    return f"none: operators of torchvision {torchvision.__version__}"


def get_compiling_cuda_version() -> str:
    """The CUDA that torchvision's operators were compiled for."""
    return torch.version.cuda or "not available"


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):  # what Python itself asks modules for
        raise AttributeError(name)

    def missing(*arguments: object, **options: object) -> NoReturn:
        raise InputError(
            f"mmcv's operator {name!r} is not among those that torchvision stands in for ({', '.join(__all__)}): "
            "compile mmcv's own with `make setup MMCV_OPS=compiled`, which takes ten minutes and a C++ compiler"
        )

    return missing
