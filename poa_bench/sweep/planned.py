"""What runs are planned for: the sizes of a checkpoint, or a network from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.files import sha256_file
from poa_bench.outside.name import FAMILY, PREFIX, SERIES

if TYPE_CHECKING:
    from poa_bench.outside.source import Source
    from poa_bench.runs.run import Initialisation

_RELATIVE = {"smallest", "middle", "intact"}  # of one size, each is that one


class OutsideEntry(BaseModel):
    """One entry of a sweep's `networks`, see `outside.source.find_source`.

    `timm`: a name of timm's, `local-dir:FOLDER` or `hf-hub:OWNER/NAME`. `weights`: a file; by default those that timm
    or the folder has. `name`: of its line in the report, several may share one. `licence`, `training_data`: what cards
    say, in place of what timm says. `image_size`: side in pixels, in place of timm's. `arguments`: of
    `timm.create_model`.
    """

    model_config = ConfigDict(extra="forbid")

    timm: str
    weights: str | None = None
    name: str | None = Field(default=None, min_length=1)
    licence: str | None = None
    training_data: str | None = None
    image_size: int | None = Field(default=None, ge=1)
    arguments: dict[str, Any] = {}

    def source(self, with_weights: bool) -> Source:
        """The network, with the file of its weights if that is needed."""
        from poa_bench.outside.source import find_source

        said = {"licence": self.licence, "training_data": self.training_data}
        name = self.timm.removeprefix(PREFIX)
        return find_source(name, self.weights, self.image_size, self.arguments, said, with_weights)


@dataclass(frozen=True)
class Networks:
    """Networks that differ in nothing but their size.

    Attributes:
        source: fields of their pre-trained runs: `checkpoint`, `checkpoint_sha256`, `pretraining_seed`, `series` and
            `network`.
        description: how they are built, in plain values.
        image_size: side in pixels that they are built for, if any.
        branch: the one that their objective evaluates.
        sizes: all their names in order.
        chosen: the names that the `specs` of a task entry mean.
        outside: whether they are from outside: then a run's hash has their description, since the file has none.
    """

    source: dict[str, Any]
    description: dict[str, Any]
    image_size: int | None
    branch: str
    sizes: list[str]
    chosen: Callable[[str | list[str]], list[str]]
    outside: bool = False

    @property
    def training(self) -> Preprocessing | None:
        """How their training made inputs of pictures."""
        return Preprocessing.from_dict(self.description.get("preprocessing"))

    @cached_property
    def families(self) -> set[str]:
        """What the `families` of a task entry may name to have them measured.

        A network from outside counts as `vit` where all its maps have one resolution, else as `swin` and `resnet`.
        """
        if not self.outside:
            return {self.description["family"]}
        from torch import device

        from poa_bench.outside.network import build_described

        with device("meta"):
            info = getattr(build_described(self.description), "feature_info", [])
        return {FAMILY, *(("vit",) if len({level["reduction"] for level in info}) == 1 else ("swin", "resnet"))}


def of_checkpoint(checkpoint: str, series: str | None, pretrained: bool) -> Networks:
    """The sizes of a training checkpoint, or for controls of a pre-training config.

    Raises:
        InputError: it cannot be read, or is a config and has no weights, which are wanted.
    """
    from poa_bench.downstream.architecture import (
        choose_specs,
        default_branch,
        is_config,
        pretraining_compute,
        pretraining_seed,
        read_architecture,
    )
    from poa_bench.elastic import SearchSpace

    if is_config(checkpoint) and pretrained:
        raise InputError(
            f"{checkpoint} is a config, which has no weights: give a training checkpoint, or --initialisation random "
            "(in a sweep: initialisations=['random'])"
        )
    description = dict(read_architecture(checkpoint))
    description.pop("version")
    space = SearchSpace.from_dict(description["space"])
    source = {
        "checkpoint": checkpoint,
        "checkpoint_sha256": None if is_config(checkpoint) else sha256_file(checkpoint),
        "pretraining_seed": pretraining_seed(checkpoint),
        "series": series,
        "network": pretraining_compute(checkpoint),
    }
    return Networks(
        source,
        description,
        description["options"].get("img_size"),
        default_branch(checkpoint),
        [str(spec) for spec in space],
        lambda specs: [str(spec) for spec in choose_specs(space, specs)],
    )


def of_outside(entry: OutsideEntry, pretrained: bool) -> Networks:
    """A network from outside.

    Raises:
        InputError: there is none, or its weights cannot be had, which are wanted.
    """
    found = entry.source(with_weights=pretrained)
    name, weights = str(found.spec), found.weights
    source = {
        "checkpoint": weights,
        "checkpoint_sha256": weights and sha256_file(weights),
        "pretraining_seed": None,
        "series": f"{SERIES}{entry.name or found.spec.timm}",
        "network": found.facts,
    }
    return Networks(
        source,
        found.description,
        found.description["preprocessing"]["image_size"],
        DEFAULT_BRANCH,
        [name],
        lambda specs: [name] if isinstance(specs, str) or {name, *_RELATIVE} & set(specs) else [],
        outside=True,
    )


def fields_of(networks: Networks, initialisation: Initialisation) -> dict[str, Any]:
    """What the runs of networks say of their source: of controls nothing but timm's name."""
    if initialisation == "pretrained":
        return networks.source
    named = {"timm": networks.source["network"]["timm"]} if networks.outside and initialisation == "random" else {}
    return {**dict.fromkeys(networks.source), "network": named}
