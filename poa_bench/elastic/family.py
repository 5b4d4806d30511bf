"""What a family of networks must say about itself, and the registry of families.

A family is a stock timm class plus three facts: the constructor arguments of each size, how its fused weights are
grouped, and which weights the paper rescales. Everything else (slicing, masking, extraction) is common.
A new family is one file that defines a `Family` and calls `register`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.errors import InputError

_BUILT_IN = ("vit", "swin", "resnet", "matformer")  # modules of this package that register a family each
_FAMILIES: dict[str, "Family"] = {}
_TORCH = "torch"  # the `weight_init` that is not timm's


class Output(NamedTuple):
    """Features of one forward pass: cls (B, w), patches (B, N, w), both after the final norm where there is one."""

    cls: Tensor
    patches: Tensor


class Family(ABC):
    """One family of stock timm networks.

    Attributes:
        name: first part of a spec's text.
        network_class: the timm class of every size.
        pool: timm's `global_pool` of extracted networks: their forward gives the class feature.
        mask_module: the stock submodule after which masked positions become the mask token.
        visible_module: the stock submodule after which a network may go on with some patches only; None: it cannot.
        stages: name prefix of the blocks of every elastic stage, in the order of `SubnetSpec.depths`.
        architectures: alias of a size -> its name in timm's registry; each of these names builds any size of the
            family when it gets the arguments of `arguments`.
    """

    name: str
    network_class: type[nn.Module]
    pool: str
    mask_module: str
    visible_module: str | None = None
    stages: Sequence[str]
    architectures: dict[str, str]

    @abstractmethod
    def arguments(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any]) -> dict[str, Any]:
        """timm constructor arguments of one size, in plain values; `options` are the supernet's, by their timm names.

        Raises:
            InputError: the family has no network of this size and these options.
        """

    @abstractmethod
    def groups(self, name: str) -> tuple[int, ...]:
        """How many equal groups are fused along each leading axis of a parameter; () for plain ones."""

    @abstractmethod
    def scaled(self, name: str) -> bool:
        """Whether the paper multiplies this parameter by alpha = full width / width (eqs. 2, 3, 11, 12)."""

    @abstractmethod
    def split(self, features: Tensor) -> Output:
        """Class feature and patch features of what the stock network returns without pooling."""

    @abstractmethod
    def grid(self, network: nn.Module, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the patches (and of the mask) for an image of this size in pixels."""

    @abstractmethod
    def apply_mask(self, network: nn.Module, embedded: Tensor, mask: Tensor, mask_token: Tensor) -> Tensor:
        """Replace masked positions of the output of `mask_module`.

        Args:
            network: the full network.
            embedded: what the stock submodule returned.
            mask: (B, N) bool, True where masked, over `grid`.
            mask_token: (1, channels) at full width; sub-networks use its leading entries.
        """

    @abstractmethod
    def patch_size(self, network: nn.Module) -> int:
        """Side of the smallest image in pixels: one patch, or the network's total stride."""

    def keep_visible(self, tokens: Tensor, visible: Tensor) -> Tensor:
        """Of the output of `visible_module`, what belongs to visible (B, n): numbers of patches, in any order."""
        raise NotImplementedError

    def check_visible(self) -> None:
        """Raises InputError if networks of this family need whole images."""
        if self.visible_module is None:
            known = [name for name, family in families().items() if family.visible_module is not None]
            raise InputError(
                f"networks of the family {self.name} cannot leave patches out: use one of {', '.join(known)}"
            )

    @contextmanager
    def only_visible(self, network: nn.Module, visible: Tensor) -> Iterator[None]:
        """Within the block, the stock network computes only the patches `visible` (B, n) of its B images (MAE).

        Raises:
            InputError: see `check_visible`.
        """
        self.check_visible()
        module = network.get_submodule(self.visible_module)
        with output_changed(module, lambda tokens: self.keep_visible(tokens, visible)):
            yield

    def mask_channels(self, network: nn.Module) -> int:
        """Length of the mask token: the channels that `mask_module` of the full network gives."""
        return network.embed_dim

    def construct(self, arguments: dict[str, Any]) -> nn.Module:
        """The stock network of these constructor arguments."""
        return self.network_class(**arguments)

    def size(self, arguments: dict[str, Any]) -> tuple[int, tuple[int, ...]] | None:
        """Width and elastic depths of the network of these constructor arguments; None where nobody knows."""
        return None

    def timm_sides(self, network: nn.Module) -> list[int] | None:
        """Image sides in pixels, up to 1024, for which timm's own class computes the same as ours; None: all."""
        return None

    def registry_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The same arguments for `timm.create_model` with a name of `architectures`.

        Raises:
            InputError: timm's registered functions cannot build this network.
        """
        return arguments

    def build(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any], pool: str = "") -> nn.Module:
        """The stock network of one size, without classifier; without pooling its forward gives all tokens."""
        options, as_torch = dict(options), options.get("weight_init") == _TORCH
        if as_torch:
            del options["weight_init"]
        network = self.construct({**self.arguments(space, spec, options), "num_classes": 0, "global_pool": pool})
        if as_torch:
            self.start_as_torch(network)
        return network

    def start_as_torch(self, network: nn.Module) -> None:
        """Draw all weights as torch's own layers do, in place of timm's rules."""
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm | nn.GroupNorm):
                module.reset_parameters()

    def skeleton(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any], pool: str = "") -> nn.Module:
        """As `build`, with the parameters on the meta device; buffers must be real."""
        with torch.device("meta"), _WithoutValues():
            return self.build(space, spec, options, pool)

    def source_name(self, name: str, space: SearchSpace, spec: SubnetSpec) -> str:
        """The supernet's name of a sub-network's parameter or module: block j of a stage is its j-th kept block."""
        for prefix, kept in zip(self.stages, space.kept(spec), strict=True):
            if name.startswith(prefix):
                block, dot, rest = name[len(prefix) :].partition(".")
                return f"{prefix}{kept[int(block)]}{dot}{rest}"
        return name


def register(family: Family) -> Family:
    """Make a family known by its name."""
    _FAMILIES[family.name] = family
    return family


def families() -> dict[str, Family]:
    """All families that are known, by name."""
    for name in _BUILT_IN:
        import_module(f"poa_bench.elastic.{name}")
    return dict(_FAMILIES)


def get_family(name: str) -> Family:
    """The family of this name.

    Raises:
        InputError: there is none.
    """
    if name not in (known := families()):
        raise InputError(f"unknown family {name!r}: use one of {', '.join(known)}")
    return known[name]


def masked_where(tokens: Tensor, mask: Tensor, mask_token: Tensor) -> Tensor:
    """Tokens (B, ..., c) with those of mask (B, ...) replaced by the leading entries of mask_token (1, C)."""
    return torch.where(mask.unsqueeze(-1), mask_token[:, : tokens.shape[-1]].to(tokens.dtype), tokens)


@contextmanager
def output_changed(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, `module` returns what `change` makes of its output."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: change(output))
    try:
        yield
    finally:
        handle.remove()


class _WithoutValues(TorchFunctionMode):
    """Skips what sets values: a tensor on the meta device has none, and torch takes long to find that out."""

    _SKIPPED = frozenset(
        getattr(Tensor, name) for name in ("normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_")
    )

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in self._SKIPPED and args[0].is_meta:
            return args[0]
        return function(*args, **(kwargs or {}))
