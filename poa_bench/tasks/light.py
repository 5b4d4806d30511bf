"""Light evaluation: many sizes in one process, from one supernet and one copy of the pictures."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import Progress

from poa_bench.downstream.features import Place, check_amp
from poa_bench.downstream.images import EvaluationData
from poa_bench.elastic import Supernet, load_supernet
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.outside.name import is_outside
from poa_bench.outside.network import OutsideNetwork
from poa_bench.tasks.session import Session, grouped, guarded, protocol_of

if TYPE_CHECKING:
    from poa_bench.runs.results import Result
    from poa_bench.runs.run import Run

    Outcome = tuple[Run, Result | Exception]

SETTINGS = {
    "amp": "off",
    "branch": "teacher",
    "config": None,
    "cfg_options": None,
    "architecture": None,
    "preprocessing": None,
}


def run_light(
    runs: Sequence["Run"], device: torch.device | str = "cpu", progress: Progress | None = None
) -> Iterator["Outcome"]:
    """Do runs of light tasks; one supernet and one copy of the images serve all sizes.

    Args:
        runs: any mixture; `run.settings` may hold `amp` ('off', 'bf16', 'fp16'), `branch` (see `load_supernet`),
            `config` with `cfg_options` (an evaluation config, else the one named like `run.dataset`),
            `architecture` (`Supernet.describe()`, for random initialisation; of a network from outside always, its
            `Source.description`) and `preprocessing`
            (`Preprocessing.to_dict()`, for raw pixels).
        device: where to compute.
        progress: where to show how far it is.

    Yields:
        (run, its Result or the exception that ended it), each as soon as it is known.
    """
    sound = []
    for run in runs:
        try:
            _check(run)
            sound.append(run)
        except InputError as error:
            yield run, error
    for group in grouped(sound, lambda run: (run.dataset, str(_setting(run, "config")), _cfg_options(run))):
        yield from guarded(group, partial(_on_data, device=device, progress=progress))


def _check(run: "Run") -> None:
    check_settings(run.settings, str(run))
    protocol_of(run)


def check_settings(given: Mapping[str, Any], whose: str) -> None:
    """Raise InputError unless a light run knows each of the settings; asked when runs are planned, too."""
    if unknown := set(given) - set(SETTINGS):
        raise InputError(f"unknown settings {sorted(unknown)} of {whose}: allowed are {', '.join(SETTINGS)}")
    check_amp(given.get("amp", SETTINGS["amp"]))


def _on_data(runs: Sequence["Run"], device: torch.device | str, progress: Progress | None) -> Iterator["Outcome"]:
    """Runs of one data set."""
    data = EvaluationData.load(_setting(runs[0], "config") or runs[0].dataset, _setting(runs[0], "cfg_options"))
    if data.name != runs[0].dataset:
        raise InputError(f"the evaluation config is of data set {data.name!r}, but the run of {runs[0].dataset!r}")
    resolve = lru_cache(maxsize=1)(data.resolved)  # networks of the same training share the decoded pictures
    for group in grouped(runs, _network_key):
        yield from guarded(group, partial(_on_network, resolve=resolve, device=device, progress=progress))


def _on_network(
    runs: Sequence["Run"],
    resolve: Callable[..., EvaluationData],
    device: torch.device | str,
    progress: Progress | None,
) -> Iterator["Outcome"]:
    """Runs of one data set, supernet and AMP setting."""
    net = _network(runs[0])
    if net is None:
        data = resolve(Preprocessing.from_dict(_setting(runs[0], "preprocessing")))
    else:
        data = resolve(net.preprocessing, net.image_size)
    place = Place(device, _setting(runs[0], "amp"))
    yield from Session(data, net and net.to(device), place, progress).measure(runs)


def _setting(run: "Run", name: str) -> Any:
    return run.settings.get(name, SETTINGS[name])


def _cfg_options(run: "Run") -> str:
    return str(_setting(run, "cfg_options"))


def _network_key(run: "Run") -> Hashable:
    seed = run.seed if run.initialisation == "random" else None
    settings = [str(_setting(run, name)) for name in ("amp", "branch", "architecture", "preprocessing")]
    return run.checkpoint, run.checkpoint_sha256, run.initialisation, seed, *settings


def _network(run: "Run") -> Supernet | OutsideNetwork | None:
    """The supernet of a run or its network from outside, in evaluation mode; None for the raw-pixel control."""
    described = _setting(run, "architecture")
    if run.initialisation == "pixels":
        return None
    if run.initialisation == "random":
        make = OutsideNetwork.random if is_outside(run.spec) else random_supernet
        return make(described, run.seed)
    if is_outside(run.spec):
        net = OutsideNetwork.load(described, run.checkpoint)
    else:
        net = load_supernet(run.checkpoint, run.settings.get("branch"))
    run.check_source(net.source_sha256)
    return net


def random_supernet(description: dict[str, Any] | None, seed: int) -> Supernet:
    """The control: the same space with weights as pre-training starts from.

    Args:
        description: `Supernet.describe()`.
        seed: of the initialisation.
    """
    if not description:
        raise InputError("random initialisation needs `architecture`, the description of a supernet, in its settings")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Supernet.from_description(description).eval()
