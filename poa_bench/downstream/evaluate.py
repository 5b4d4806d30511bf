"""Light evaluation: k-NN, linear probe and profile of many sizes in one process, from one supernet."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import Progress

from poa_bench.downstream import measure
from poa_bench.downstream.blocks import block_features
from poa_bench.downstream.features import (
    Features,
    Place,
    class_features,
    extract_features,
    groups_of_sizes,
    packed,
    pixel_features,
)
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.measure_sgd import measure_linear_sgd
from poa_bench.downstream.protocols import KnnProtocol, LinearSgdProtocol, parse_protocol
from poa_bench.elastic import Supernet, load_supernet
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.files import sha256_file

if TYPE_CHECKING:
    from poa_bench.sweep.plan import Run
    from poa_bench.sweep.results import Result

    Outcome = tuple[Run, Result | Exception]

FEATURE_BYTES = 8 * 2**30  # memory for the features of the sizes that share one pass over the images
PROBED_WIDTHS = 4096  # sizes whose widths add up to this are probed together: 8 GB for their heads of 1000 classes
SETTINGS = {
    "amp": "off",
    "branch": "teacher",
    "config": None,
    "cfg_options": None,
    "architecture": None,
    "preprocessing": None,
}


def evaluate_light(
    runs: Sequence["Run"], device: torch.device | str = "cpu", progress: Progress | None = None
) -> Iterator["Outcome"]:
    """Do runs of the tasks `knn`, `linear` and `profile`; one supernet and one copy of the images serve all sizes.

    Args:
        runs: any mixture; `run.settings` may hold `amp` ('off', 'bf16', 'fp16'), `branch` (see `elastic.branch`),
            `config` with `cfg_options` (an evaluation config, else the one named like `run.dataset`),
            `architecture` (`Supernet.describe()`, for random initialisation) and `preprocessing`
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
    for group in _grouped(sound, lambda run: (run.dataset, str(_setting(run, "config")), _cfg_options(run))):
        yield from _guarded(group, partial(_evaluate_data, device=device, progress=progress))


def _check(run: "Run") -> None:
    if unknown := set(run.settings) - set(SETTINGS):
        raise InputError(f"unknown settings {sorted(unknown)} of {run}: allowed are {', '.join(SETTINGS)}")
    parse_protocol(run.protocol, run.task)


def _evaluate_data(runs: Sequence["Run"], device: torch.device | str, progress: Progress | None) -> Iterator["Outcome"]:
    """Runs of one data set."""
    data = EvaluationData.load(_setting(runs[0], "config") or runs[0].dataset, _setting(runs[0], "cfg_options"))
    if data.name != runs[0].dataset:
        raise InputError(f"the evaluation config is of data set {data.name!r}, but the run of {runs[0].dataset!r}")
    resolve = lru_cache(maxsize=1)(data.resolved)  # networks of the same training share the decoded pictures
    for group in _grouped(runs, _network_key):
        yield from _guarded(group, partial(_evaluate_network, resolve=resolve, device=device, progress=progress))


def _evaluate_network(
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
    session = _Session(data, net and net.to(device), Place(device, _setting(runs[0], "amp")), progress)
    profiles = [run for run in runs if run.task == "profile"]
    probes = [run for run in runs if run.protocol.startswith(LinearSgdProtocol.prefix)]
    others = {run.id for run in (*profiles, *probes)}
    yield from _guarded([run for run in runs if run.id not in others], session.evaluate)
    for group in _grouped(probes, lambda run: (run.protocol, run.seed)):
        yield from _guarded(group, session.probe)
    for run in profiles:  # they need no pictures
        yield from _guarded([run], session.profile)


def _guarded(runs: Sequence["Run"], evaluate: Callable[[Sequence["Run"]], Iterator["Outcome"]]) -> Iterator["Outcome"]:
    """What `evaluate` yields; if it raises, that exception for each run that has no outcome yet."""
    left = {run.id: run for run in runs}
    try:
        for run, outcome in evaluate(runs):
            del left[run.id]
            yield run, outcome
    except Exception as error:  # handed on in full: one run's error must not end the others
        yield from ((run, error) for run in left.values())


def _grouped(runs: Iterable["Run"], key: Callable[["Run"], Hashable]) -> list[list["Run"]]:
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _setting(run: "Run", name: str) -> Any:
    return run.settings.get(name, SETTINGS[name])


def _cfg_options(run: "Run") -> str:
    return str(_setting(run, "cfg_options"))


def _network_key(run: "Run") -> Hashable:
    seed = run.seed if run.initialisation == "random" else None
    settings = [str(_setting(run, name)) for name in ("amp", "branch", "architecture", "preprocessing")]
    return run.checkpoint, run.initialisation, seed, *settings


def _network(run: "Run") -> Supernet | None:
    """The supernet of a run, in evaluation mode; None for the raw-pixel control."""
    if run.initialisation == "pixels":
        return None
    if run.initialisation == "random":
        return random_supernet(_setting(run, "architecture"), run.seed)
    net = load_supernet(run.checkpoint, _setting(run, "branch"))
    if (found := sha256_file(run.checkpoint)) != run.checkpoint_sha256:
        raise InputError(
            f"{run.checkpoint} has changed since the run was planned (SHA-256 {found[:12]}..., not "
            f"{run.checkpoint_sha256[:12]}...): plan again"
        )
    return net


def _measured_together(run: "Run", bank: int) -> Hashable:
    """Equal for runs of one size that are measured at once: the k-NN protocols for which the bank is large enough."""
    protocol = parse_protocol(run.protocol, run.task)
    at_once = run.task == KnnProtocol.task and protocol.k <= bank
    return run.task, run.seed, None if at_once else run.protocol


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


@dataclass
class _Session:
    """One network on one data set; without a network, the raw pixels."""

    data: EvaluationData
    net: Supernet | None
    place: Place
    progress: Progress | None
    _sizes: dict[str, dict[str, int]] = field(default_factory=dict)

    def width(self, spec: str | None) -> int:
        """Length of the features of one size."""
        if self.net is None:
            return pixel_features(torch.empty(1, 3, self.data.image_size, self.data.image_size)).shape[1]
        return self.net.width(self.net.space.parse(spec))

    def evaluate(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """k-NN and linear runs of any sizes."""
        by_spec, widths, refused = self._sorted(runs)
        yield from refused
        # without a size nothing is opened
        for specs in groups_of_sizes(self.data, widths, FEATURE_BYTES) if widths else ():
            yield from _guarded([run for spec in specs for run in by_spec[spec]], self._evaluate_in_one_pass)

    def _sorted(
        self, runs: Sequence["Run"]
    ) -> tuple[dict[str | None, list["Run"]], dict[str | None, int], list["Outcome"]]:
        """Runs by size, the width of each size, and what is wrong with runs of sizes that are not there."""
        by_spec, widths, refused = {}, {}, []
        for group in _grouped(runs, lambda run: run.spec):
            spec = group[0].spec
            try:
                by_spec[spec], widths[spec] = group, self.width(spec)
            except InputError as error:
                refused += [(run, error) for run in group]
        return by_spec, widths, refused

    def _evaluate_in_one_pass(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Runs of sizes that share one pass over the images."""
        failures: dict[str | None, Exception] = {}
        features = self._features(dict.fromkeys(run.spec for run in runs), failures)
        for runs_of_size in _grouped(runs, lambda run: run.spec):
            spec = runs_of_size[0].spec
            if spec in failures:
                yield from ((run, failures[spec]) for run in runs_of_size)
                continue
            of_size = {split: found[spec] for split, found in features.items()}
            bank = len(of_size["train"].labels)
            for together in _grouped(runs_of_size, partial(_measured_together, bank=bank)):
                yield from _guarded(together, partial(self._measure, features=of_size))

    def _features(
        self, specs: Iterable[str | None], failures: dict[str | None, Exception]
    ) -> dict[str, dict[str | None, Features]]:
        if self.net is None:
            extractors = {None: pixel_features}
        else:
            extractors = class_features(self.net, {spec: self.net.space.parse(spec) for spec in specs})
        place = (self.place.device, self.place.amp, self.progress, failures)
        return {name: extract_features(extractors, images, *place) for name, images in self.data.splits.items()}

    def _measure(self, runs: Sequence["Run"], features: dict[str, Features]) -> Iterator["Outcome"]:
        """Runs that are measured at once, see `_measured_together`."""
        protocols = {run.id: parse_protocol(run.protocol, run.task) for run in runs}
        if runs[0].task == KnnProtocol.task:
            found = measure.measure_knn(features, list(dict.fromkeys(protocols.values())), self.data, self.place)
        for run in runs:
            protocol = protocols[run.id]
            if run.task == KnnProtocol.task:
                measured = found[protocol]
            else:
                measured = measure.measure_linear(features, protocol, self.data, self.place, run.seed)
            yield run, run.result(**measured, **self._size(run))

    def probe(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """SGD linear probes that differ in their size alone; those whose heads fit into memory share their pictures."""
        if self.net is None:
            raise InputError("raw pixels have no blocks to probe: use linear-logreg or k-NN protocols for them")
        by_spec, widths, refused = self._sorted(runs)
        yield from refused
        for specs in packed(widths, PROBED_WIDTHS):
            yield from _guarded([run for spec in specs for run in by_spec[spec]], self._probe_together)

    def _probe_together(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Probes of sizes that are trained on the same pictures."""
        of_spec = {run.spec: run for run in runs}
        nets = {spec: self.net.extract(self.net.space.parse(spec)).eval() for spec in of_spec}
        extractors = {spec: block_features(net) for spec, net in nets.items()}
        protocol = parse_protocol(runs[0].protocol, runs[0].task)
        measured = measure_linear_sgd(extractors, protocol, self.data, self.place, runs[0].seed, self.progress)
        for spec, found in measured:
            run = of_spec[spec]
            yield run, found if isinstance(found, Exception) else run.result(**found, **self._size(run))

    def profile(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Profile runs."""
        for run in runs:
            if self.net is None:
                raise InputError("raw pixels have no network to profile: use the tasks knn and linear for them")
            protocol = parse_protocol(run.protocol, run.task)
            spec = self.net.space.parse(run.spec)
            measured = measure.measure_profile(self.net, spec, protocol, self.data, self.place)
            yield run, run.result(**measured, **self._size(run))

    def _size(self, run: "Run") -> dict[str, Any]:
        if self.net is None:
            return {}
        if run.spec not in self._sizes:
            spec = self.net.space.parse(run.spec)
            self._sizes[run.spec] = measure.measure_size(self.net, spec, self.data.image_size)
        return self._sizes[run.spec]
