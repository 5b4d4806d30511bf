"""The supernet: one full-size stock timm network, and every sub-network as slices of its weights."""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from poa_bench import __version__
from poa_bench.elastic.family import Output, get_family, output_changed
from poa_bench.elastic.preprocessing import Preprocessing, known_image_size
from poa_bench.elastic.slicing import sliced_parameters
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.elastic.stochastic_depth import compute_kept_only, copy_rates, make_uniform
from poa_bench.errors import InputError

# our names for timm's, where the field has a plainer word
_TIMM_NAMES = {"image_size": "img_size"}


class Supernet(nn.Module):
    """Holds the full-size network's weights; any size of its space can be run, trained and cut.

    A sub-network is the stock timm module of its size run on slices of the full weights (paper, eqs. 2-4, 11, 12):
    `torch.func.functional_call(skeleton, slices, images)`. Sizes are arguments, never state.

    Args:
        space: the candidates, as `SearchSpace` or as a dict of its fields.
        alpha: multiply the sliced weights by full width / width where the paper does; False for its ablation.
        drop_path_uniform: the same drop-path rate in every block (POA's ViT) instead of timm's linear rule.
        position_std: standard deviation of the position embeddings at the start, instead of timm's 0.02; a short
            training of a small network cannot grow them to the size of its patch embeddings.
        mask_token_std: standard deviation of the mask token at the start; 0 is the official code's.
        options: constructor arguments of the timm class by their timm names (`patch_size`, `init_values`, ...);
            `image_size` is timm's `img_size`. With a `drop_path_rate` above 0.1, blocks of ViTs compute the images that
            they keep only (`stochastic_depth.py`). `weight_init="torch"` starts all layers as torch's own do.

    Attributes:
        network: the full-size stock timm module.
        mask_token: (1, channels) parameter, put in place of masked patches.
        preprocessing: how its training made inputs of pictures; None where that is not known.
        source_sha256: of the file that its weights were read from; None where they were not.
    """

    preprocessing: Preprocessing | None = None
    source_sha256: str | None = None

    def __init__(
        self,
        space: SearchSpace | dict[str, Any],
        *,
        alpha: bool = True,
        drop_path_uniform: bool = False,
        position_std: float | None = None,
        mask_token_std: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.space = SearchSpace.from_dict(space)
        self.family = get_family(self.space.family)
        self.alpha = alpha
        self.options = {_TIMM_NAMES.get(name, name): value for name, value in options.items()}
        self.drop_path_uniform = drop_path_uniform
        self.grad_checkpointing = False
        self._compiled_call: Callable | None = None
        try:
            self.network = self.family.build(self.space, self.space.intact, self.options)
        except TypeError as error:
            if "unexpected keyword" not in str(error):
                raise
            raise InputError(f"{error}: options of the backbone are those of this class of timm") from error
        if drop_path_uniform:
            make_uniform(self.network, self.options.get("drop_path_rate", 0.0))
        compute_kept_only(self.network)
        self.position_std = position_std
        if position_std is not None:
            _initialise_positions(self.network, position_std)
        self.mask_token = nn.Parameter(torch.zeros(1, self.family.mask_channels(self.network)))
        if mask_token_std:
            nn.init.trunc_normal_(self.mask_token, std=mask_token_std)
        self._skeletons: dict[SubnetSpec, nn.Module] = {}

    def forward(self, images: Tensor, spec: SubnetSpec | None = None, mask: Tensor | None = None) -> Output:
        """Run one size.

        Args:
            images: (B, 3, height, width), any size of at least one patch.
            spec: the size; None runs the intact network (no slicing).
            mask: (B, N) bool over `patch_grid`, True where the patch is replaced by the mask token.

        Returns:
            cls (B, w) and patches (B, N, w).

        Raises:
            InputError: the spec is outside the space, the image too small or the mask of another shape.
        """
        return self.bind(spec)(images, mask)

    def bind(self, spec: SubnetSpec | None = None) -> Callable[..., Output]:
        """One size as a function `(images, mask=None, visible=None) -> Output`, with slices that are made once.

        `visible` (B, n) are numbers of patches: only these are computed, and returned in this order
        (`Family.only_visible`).
        """
        if spec is None or self.space.check(spec) == self.space.intact:
            return partial(self._run, self.network, {})
        skeleton = self.skeleton(spec).train(self.training)
        parameters = self.parameters_of(spec)
        if self.grad_checkpointing:
            # blocks run again in backward, when functional_call has ended: they must own their slices
            return partial(self._run, self._compile(_with_parameters(skeleton, parameters)), {})
        return partial(self._run, skeleton, parameters)

    def class_feature(self, spec: SubnetSpec) -> Callable[[Tensor], Tensor]:
        """One size as a function of images that gives its class features (B, w), see `bind`."""
        run = self.bind(spec)
        return lambda images: run(images).cls

    def parameters_of(self, spec: SubnetSpec) -> dict[str, Tensor]:
        """The stock parameter names of one size, with slices of the full weights."""
        return sliced_parameters(self.family, self.network, self.skeleton(spec), self.space, spec, self.alpha)

    def skeleton(self, spec: SubnetSpec) -> nn.Module:
        """The stock module of one size with its parameters on the meta device (cached); its buffers are real."""
        if spec not in self._skeletons:
            skeleton = self.family.skeleton(self.space, self.space.check(spec), self.options)
            self._match_drop_path(skeleton, spec)
            compute_kept_only(skeleton)
            if self.grad_checkpointing:
                skeleton.set_grad_checkpointing(True)
            self._skeletons[spec] = self._compile(skeleton)
        skeleton = self._skeletons[spec]
        for module in skeleton.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.device != self.mask_token.device:
                    module._buffers[name] = buffer.to(self.mask_token.device)
        return skeleton

    def _match_drop_path(self, module: nn.Module, spec: SubnetSpec) -> None:
        copy_rates(module, self.network, lambda name: self.family.source_name(name, self.space, spec))

    def extract(self, spec: SubnetSpec) -> nn.Module:
        """Cut one size: a plain timm module with its own copy of the weights.

        Its forward gives the class feature (B, w), its `forward_features` all tokens; it is in the same mode
        (train or eval) and on the same device as the supernet.
        """
        # built without memory and without random initialisation, which takes seconds for a large network
        module = self.family.skeleton(self.space, self.space.check(spec), self.options, self.family.pool)
        self._match_drop_path(module, spec)
        with torch.no_grad():
            slices = sliced_parameters(self.family, self.network, module, self.space, spec, self.alpha)
        _set_parameters(module, {name: nn.Parameter(_own(tensor)) for name, tensor in slices.items()})
        if self.preprocessing is not None:
            module.pretrained_cfg = self.preprocessing.timm_config()  # where timm looks for it
        return module.to(self.mask_token.device).train(self.training)

    @property
    def image_size(self) -> int | None:
        """See `known_image_size`."""
        return known_image_size(self.options, self.preprocessing)

    def width(self, spec: SubnetSpec | None = None) -> int:
        """Length of the class feature of one size (None: of the intact network)."""
        return (self.network if spec is None else self.skeleton(spec)).num_features

    def patch_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches (and masks) of an image of height x width pixels."""
        return self.family.grid(self.network, height, width)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute block activations in backward, by timm's own checkpointing, in every size."""
        self.grad_checkpointing = enable
        self.network.set_grad_checkpointing(enable)
        for skeleton in self._skeletons.values():
            skeleton.set_grad_checkpointing(enable)

    def compile_blocks(self, backend: str | Callable = "inductor") -> None:
        """Run the elastic blocks of every size through `torch.compile`, which fuses what is between their products.

        Equal blocks share their code: it is made once for each width and size of crops, at the first use, and for each
        block where drop path has the linear rule. A copy of the supernet is not compiled.

        Args:
            backend: of `torch.compile`.
        """
        # one for all blocks: with checkpointing every step has new ones, and torch forgets none that it compiled
        self._compiled_call = torch.compile(nn.Module._call_impl, backend=backend, dynamic=False)
        # by default torch gives up after eight variants of a function; here: crops, mode and gradients by size
        most, limits = 8 * len(self.space.widths) * sum(self.space.intact.depths), torch._dynamo.config
        limits.recompile_limit = max(limits.recompile_limit, most)
        limits.accumulated_recompile_limit = max(limits.accumulated_recompile_limit, most)
        for network in (self.network, *self._skeletons.values()):
            self._compile(network)

    def _compile(self, network: nn.Module) -> nn.Module:
        if self._compiled_call is not None:
            for stage in self.family.stages:
                for block in network.get_submodule(stage.rstrip(".")):
                    block._compiled_call_impl = partial(self._compiled_call, block)  # what nn.Module.compile sets
        return network

    def describe(self) -> dict[str, Any]:
        """What is needed to build this supernet again, in plain values (checkpoint meta `poa_bench`)."""
        return {
            "family": self.space.family,
            "space": self.space.to_dict(),
            "alpha": self.alpha,
            "drop_path_uniform": self.drop_path_uniform,
            "position_std": self.position_std,
            "options": dict(self.options),
            "preprocessing": self.preprocessing and self.preprocessing.to_dict(),
            "version": __version__,
        }

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> "Supernet":
        """The inverse of `describe`, with fresh weights."""
        own = {key: description[key] for key in ("alpha", "drop_path_uniform", "position_std")}
        supernet = cls(SearchSpace.from_dict(description["space"]), **own, **description["options"])
        supernet.preprocessing = Preprocessing.from_dict(description.get("preprocessing"))  # older files have none
        return supernet

    def _run(
        self,
        network: nn.Module,
        tensors: dict[str, Tensor],
        images: Tensor,
        mask: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> Output:
        grid = self._check_images(images)
        with ExitStack() as changes:
            if mask is not None:
                if mask.shape != (len(images), grid[0] * grid[1]):
                    wanted = (len(images), *grid)
                    raise InputError(f"the mask has shape {tuple(mask.shape)}, not (images, patches) = {wanted}")
                masked = network.get_submodule(self.family.mask_module)
                put = partial(self.family.apply_mask, self.network, mask=mask, mask_token=self.mask_token)
                changes.enter_context(output_changed(masked, put))
            if visible is not None:
                changes.enter_context(self.family.only_visible(network, visible))
            return self.family.split(functional_call(network, tensors, (images,), tie_weights=False))

    def _check_images(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[-2:]
        patch = self.family.patch_size(self.network)
        if min(height, width) < patch:
            raise InputError(
                f"images of {height} x {width} pixels are smaller than a patch of {patch} x {patch}: give larger images"
            )
        return self.patch_grid(height, width)


def _initialise_positions(network: nn.Module, std: float) -> None:
    if getattr(network, "pos_embed", None) is None:
        raise InputError(f"position_std is for networks with position embeddings, not for {type(network).__name__}")
    nn.init.trunc_normal_(network.pos_embed, std=std, a=-3 * std, b=3 * std)


def _own(tensor: Tensor) -> Tensor:
    """A copy of what is a part of the full weights; what was scaled is new already."""
    return tensor.detach().clone() if isinstance(tensor, nn.Parameter) or tensor._is_view() else tensor


def _with_parameters(skeleton: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """A copy of the skeleton that owns the given tensors."""
    module = copy.deepcopy(skeleton)
    _set_parameters(module, tensors)
    return module


def _set_parameters(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        parent, _, attribute = name.rpartition(".")
        module.get_submodule(parent)._parameters[attribute] = tensor
