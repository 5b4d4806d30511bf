"""What a user names as a network from outside: its description, the file of its weights, and what is known of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import timm.data
from timm.models import split_model_name_tag

from poa_bench.elastic.preprocessing import INTERPOLATIONS, Preprocessing
from poa_bench.errors import InputError
from poa_bench.files import existing
from poa_bench.outside.name import OutsideSpec
from poa_bench.outside.network import check_name

_LOCAL, _HUB = "local-dir:", "hf-hub:"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # what timm writes into a folder


@dataclass(frozen=True)
class Source:
    """A network from outside, before it is built.

    Attributes:
        description: `timm` (name), `arguments` of `timm.create_model`, `preprocessing` (`Preprocessing.to_dict()`):
            with the file of the weights, all that its numbers depend on; plain values.
        weights: path of the file; None where nobody gave one and nobody needs one.
        facts: what results say of it: `timm`, `licence`, `training_data` and `origin`, as far as they are known, and
            `timm_image_size` and `timm_arguments` where these are not timm's.
    """

    description: dict[str, Any]
    weights: str | None
    facts: dict[str, str]

    @property
    def spec(self) -> OutsideSpec:
        """Its name, as results have it."""
        return OutsideSpec(self.description["timm"])

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures become its inputs."""
        return Preprocessing.from_dict(self.description["preprocessing"])


def find_source(
    name: str,
    weights: str | Path | None = None,
    image_size: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    facts: Mapping[str, str | None] | None = None,
    with_weights: bool = True,
) -> Source:
    """What a user names.

    Args:
        name: timm's, with or without a tag; `local-dir:FOLDER` with timm's `config.json` and weights, as
            `timm.models.save_for_hf` and `poa-bench export --to hf` write it; or `hf-hub:OWNER/NAME`.
        weights: a file, see `load_weights`; None takes the folder's, or those that timm has for the tag.
        image_size: side in pixels of what the network sees, in place of timm's.
        arguments: of `timm.create_model`.
        facts: `licence`, `training_data` and others, in place of what timm says.
        with_weights: False looks for none where no file is given.

    Raises:
        InputError: there is no such network, folder or file, or its weights cannot be had.
    """
    own, said = dict(arguments or {}), {}
    if name.startswith(_HUB):
        name = _LOCAL + _downloaded(name.removeprefix(_HUB))
    if name.startswith(_LOCAL):
        folder = Path(name.removeprefix(_LOCAL))
        name, config, given = _read_folder(folder)
        own = {**given, **own}
        said = _facts(config) | ({} if weights else {"origin": f"folder {folder.name}"})
        weights = weights or (_weights_in(folder) if with_weights else None)
    else:
        check_name(name)
        config = timm.get_pretrained_cfg(name).to_dict()
        if split_model_name_tag(name)[1] or (weights is None and with_weights):  # else they may be of somebody else
            said = _facts(config)
        weights = weights or (_timms_weights(name, config) if with_weights else None)
    if weights is not None:
        existing(weights)
    described = {"timm": name, "arguments": own, "preprocessing": _preprocessing(name, config, image_size).to_dict()}
    given = {} if image_size is None else {"timm_image_size": str(image_size)}
    given |= {"timm_arguments": json.dumps(own, sort_keys=True)} if own else {}
    known = {**said, **given, **{fact: text for fact, text in (facts or {}).items() if text}}
    return Source(described, None if weights is None else str(weights), {"timm": name, **known})


def _facts(config: Mapping[str, Any]) -> dict[str, str]:
    """What timm says of weights, where it does."""
    said = {"licence": config.get("license"), "training_data": config.get("tag"), "origin": config.get("origin_url")}
    return {name: text for name, text in said.items() if text}


def _preprocessing(name: str, config: Mapping[str, Any], image_size: int | None) -> Preprocessing:
    """How timm makes inputs of pictures for these weights."""
    found = timm.data.resolve_data_config({}, pretrained_cfg=dict(config), verbose=False)
    if found["interpolation"] not in INTERPOLATIONS:
        found["interpolation"] = "bicubic"
    if found["crop_mode"] != "center":
        logging.getLogger("poa_bench").warning(
            f"{name}: timm would {found['crop_mode']} pictures, here their central crop is taken"
        )
    training = Preprocessing.from_timm_config(found)
    return training if image_size is None else replace(training, image_size=image_size)


def _read_folder(folder: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, `pretrained_cfg` and arguments of timm's that a folder says."""
    try:
        said = json.loads(existing(folder / "config.json").read_text(encoding="utf-8"))
        name = said["architecture"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/config.json is none of timm's (it says no architecture): give a folder that timm.models."
            "save_for_hf wrote, or timm:NAME with --weights FILE"
        ) from error
    check_name(name)
    config = said.get("pretrained_cfg", said)
    arguments = {key: value for key, value in (said.get("model_args") or {}).items() if key != "num_classes"}
    return name, {**timm.get_pretrained_cfg(name).to_dict(), **config}, arguments


def _weights_in(folder: Path) -> Path:
    found = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise InputError(f"{folder} holds no weights: it has neither {' nor '.join(_WEIGHTS)}; add --weights FILE")
    return found


def _timms_weights(name: str, config: Mapping[str, Any]) -> str:
    """The file that timm loads for a name: from the cache of the Hugging Face hub or of torch, else downloaded."""
    from huggingface_hub import hf_hub_download

    hub, url = config.get("hf_hub_id"), config.get("url")
    if not hub and not url:
        raise InputError(f"timm has no weights of {name}: give some with --weights FILE, or --initialisation random")
    try:
        if hub:
            return hf_hub_download(hub, config.get("hf_hub_filename") or _WEIGHTS[0])
        from timm.models._hub import download_cached_file

        return str(download_cached_file(url, progress=False))
    except Exception as error:  # a dozen kinds, by what is between here and the hub
        raise InputError(
            f"timm's weights of {name} are neither in the cache nor can they be downloaded ({type(error).__name__}): "
            f"give them with --weights FILE (they are {hub or url})"
        ) from error


def _downloaded(repository: str) -> str:
    """The local copy of a repository of the Hugging Face hub."""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(repository, allow_patterns=["config.json", *_WEIGHTS])
    except Exception as error:  # as above
        raise InputError(
            f"{_HUB}{repository} is neither in the cache nor can it be downloaded ({type(error).__name__}): give a "
            f"folder as timm:{_LOCAL}FOLDER"
        ) from error
