"""One network, cut to many sizes, on one data set: what protocols need is made once and handed to all of them."""

import copy
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import Progress

from poa_bench.downstream.accuracy import class_facts
from poa_bench.downstream.features import (
    Extractor,
    Features,
    Place,
    class_features,
    extract_features,
    groups_of_sizes,
    packed,
    pixel_features,
)
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.profile import hardware_facts
from poa_bench.downstream.robustness import Onlooker
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.elastic.macs import count_macs, count_parameters
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec
from poa_bench.outside.network import OutsideNetwork
from poa_bench.tasks import find_task, parse_protocol
from poa_bench.tasks.base import (
    FeatureProtocol,
    FrozenFeatures,
    Measurement,
    NetworkProtocol,
    PictureProtocol,
    Protocol,
)
from poa_bench.tasks.patch_session import PatchSession
from poa_bench.tasks.patches import PatchProtocol

if TYPE_CHECKING:
    from poa_bench.runs.results import Result
    from poa_bench.runs.run import Run

    Outcome = tuple[Run, Result | Exception]

FEATURE_BYTES = 8 * 2**30  # memory for the features of the sizes that share one pass over the images
_FOR_PIXELS = "use protocols on class features, such as those of k-NN, for them"
TOGETHER_WIDTHS = 4096  # sizes whose widths add up to this share pictures: 8 GB for 52 heads of 1000 classes each


def protocol_of(run: "Run") -> Protocol:
    """The protocol that a run names."""
    return parse_protocol(run.protocol, run.task)


def grouped(runs: Iterable["Run"], key: Callable[["Run"], Hashable]) -> list[list["Run"]]:
    """Runs with equal keys together, in the order in which the keys come first."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def guarded(runs: Sequence["Run"], do: Callable[[Sequence["Run"]], Iterator["Outcome"]]) -> Iterator["Outcome"]:
    """What `do` yields; if it raises, that exception for each run that has no outcome yet."""
    left = {run.id: run for run in runs}
    try:
        for run, outcome in do(runs):
            del left[run.id]
            yield run, outcome
    except Exception as error:  # handed on in full: one run's error must not end the others
        yield from ((run, error) for run in left.values())


@dataclass
class _Waiting:
    """A run that has its probe and waits for views of the test pictures."""

    run: "Run"
    onlooker: Onlooker
    seconds: float
    facts: dict[str, Any]


@dataclass
class Session:
    """One network on one data set; without a network, the raw pixels."""

    data: EvaluationData
    net: Supernet | OutsideNetwork | None
    place: Place
    progress: Progress | None = None
    _sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    _waiting: dict[str, "_Waiting"] = field(default_factory=dict)

    def measure(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Runs of any sizes and protocols: those on features first, those that open no picture last."""
        ways = {
            FeatureProtocol: self._on_features,
            PatchProtocol: self._on_patches,
            PictureProtocol: self._on_pictures,
            NetworkProtocol: self._alone,
        }
        for kind, measure in ways.items():
            yield from guarded([run for run in runs if isinstance(protocol_of(run), kind)], measure)

    def _on_features(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        by_spec, widths, refused = self._by_size(runs)
        yield from refused
        # without a size nothing is opened
        for specs in groups_of_sizes(self.data, widths, FEATURE_BYTES) if widths else ():
            for run, outcome in guarded([run for spec in specs for run in by_spec[spec]], self._in_one_pass):
                self._waiting.pop(run.id, None)  # it failed after all
                yield run, outcome
        for runs in grouped((each.run for each in self._waiting.values()), lambda run: (run.protocol, run.seed)):
            yield from guarded(runs, self._on_views)

    def _by_size(
        self, runs: Sequence["Run"]
    ) -> tuple[dict[str | None, list["Run"]], dict[str | None, int], list["Outcome"]]:
        """Runs by size, the width of each size, and what is wrong with runs of sizes that are not there."""
        by_spec, widths, refused = {}, {}, []
        for group in grouped(runs, lambda run: run.spec):
            spec = group[0].spec
            try:
                by_spec[spec], widths[spec] = group, self._width(spec)
            except InputError as error:
                refused += [(run, error) for run in group]
        return by_spec, widths, refused

    def _width(self, spec: str | None) -> int:
        """Length of the features of one size."""
        if self.net is None:
            return pixel_features(torch.empty(1, 3, self.data.image_size, self.data.image_size)).shape[1]
        return self.net.width(self.net.space.parse(spec))

    def _in_one_pass(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Runs of sizes that share one pass over the images."""
        failures: dict[str | None, Exception] = {}
        features = self._features(dict.fromkeys(run.spec for run in runs), failures)
        for of_size in grouped(runs, lambda run: run.spec):
            spec = of_size[0].spec
            if spec in failures:
                yield from ((run, failures[spec]) for run in of_size)
                continue
            splits = {split: found[spec] for split, found in features.items()}
            for of_seed in grouped(of_size, lambda run: run.seed):
                frozen = FrozenFeatures(splits, self.data, self.place, of_seed[0].seed)
                for together in grouped(of_seed, lambda run: type(protocol_of(run))):
                    yield from guarded(together, partial(self._of_features, features=frozen))

    def _features(
        self, specs: Iterable[str | None], failures: dict[str | None, Exception]
    ) -> dict[str, dict[str | None, Features]]:
        extractors = self._extractors(specs)
        place = (self.place.device, self.place.amp, self.progress, failures)
        return {name: extract_features(extractors, images, *place) for name, images in self.data.splits.items()}

    def _extractors(self, specs: Iterable[str | None]) -> dict[str | None, Extractor]:
        if self.net is None:
            return {None: pixel_features}
        return class_features(self.net, {spec: self.net.space.parse(spec) for spec in specs})

    def _of_features(self, runs: Sequence["Run"], features: FrozenFeatures) -> Iterator["Outcome"]:
        """Runs of one size, one class of protocols and one seed."""
        protocols, splits = {run.id: protocol_of(run) for run in runs}, features.splits
        if splits["test"].labels.ndim > 1 and not protocols[runs[0].id].takes_several_labels:
            raise InputError(
                f"pictures of {self.data.name} have several labels each, which {runs[0].protocol} cannot judge: use "
                "the tasks logistic or rank"
            )
        forward = sum(split.seconds for split in splits.values())
        facts = {"batch": self.data.batch_size, "feature_seconds": forward}
        facts |= {f"{name}_images": len(split.labels) for name, split in splits.items()}
        facts |= class_facts(splits["train"].labels, splits["test"].labels)
        start = time.perf_counter()
        measured = type(protocols[runs[0].id]).measure_all(list(dict.fromkeys(protocols.values())), features)
        for protocol, found in measured:
            seconds, start = time.perf_counter() - start + forward, time.perf_counter()
            for run in (run for run in runs if protocols[run.id] == protocol):
                if isinstance(found, Onlooker):
                    self._waiting[run.id] = _Waiting(run, found, seconds, facts)
                else:
                    yield run, self._outcome(run, found, seconds, facts)

    def _on_views(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Sizes that wait for the same views share each pass over them; of a view nothing but predictions is kept."""
        of_spec = {run.spec: self._waiting.pop(run.id) for run in runs}
        protocol, extractors, failures = protocol_of(runs[0]), self._extractors(of_spec), {}
        place, start = (self.place.device, self.place.amp, self.progress, failures), time.perf_counter()
        for view in protocol.views(self.data, runs[0].seed):
            looking = {
                spec: partial(_predictions, extractors[spec], each.onlooker, view.split)
                for spec, each in of_spec.items()
            }
            for spec, seen in extract_features(looking, view, *place).items():
                of_spec[spec].onlooker.see(view.split, seen.features, seen.labels)
        shared = (time.perf_counter() - start) / len(runs)
        for spec, each in of_spec.items():
            found = failures.get(spec) or protocol.conclude(each.onlooker, self.data)
            yield each.run, self._outcome(each.run, found, each.seconds + shared, each.facts)

    def _on_patches(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Those that look at pictures alike share their patches."""
        for group in grouped(runs, lambda run: (run.seed, protocol_of(run).truth, protocol_of(run).seen)):
            by_spec, _, refused = self._by_size(group)
            yield from refused
            yield from guarded([run for of_spec in by_spec.values() for run in of_spec], self._of_patches)

    def _of_patches(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        named = {(run.spec, protocol_of(run)): run for run in runs}
        wanted = {of[0].spec: [protocol_of(run) for run in of] for of in grouped(runs, lambda run: run.spec)}
        session = PatchSession(self.data, self.net, self.place, runs[0].seed, self.progress)
        for found in session.measure(wanted) if wanted else ():
            run = named[found.key, found.protocol]
            yield run, self._outcome(run, found.outcome, found.seconds, found.facts)

    def _on_pictures(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Sizes that differ in nothing else share their pictures, as many as fit into memory."""
        if self.net is None:
            raise InputError(f"raw pixels have no network, which {runs[0].protocol} needs: {_FOR_PIXELS}")
        for group in grouped(runs, lambda run: (run.task, run.protocol, run.seed)):
            by_spec, widths, refused = self._by_size(group)
            yield from refused
            for specs in packed(widths, TOGETHER_WIDTHS):
                yield from guarded([run for spec in specs for run in by_spec[spec]], self._of_pictures)

    def _of_pictures(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        of_spec = {run.spec: run for run in runs}
        networks = {spec: self.net.extract(self.net.space.parse(spec)).eval() for spec in of_spec}
        start = time.perf_counter()
        measured = protocol_of(runs[0]).measure_sizes(networks, self.data, self.place, runs[0].seed, self.progress)
        for spec, found in measured:
            yield of_spec[spec], self._outcome(of_spec[spec], found, (time.perf_counter() - start) / len(runs))

    def _alone(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        """Runs that open no picture, one after the other."""
        if self.net is None:
            raise InputError(f"raw pixels have no network, which {runs[0].protocol} needs: {_FOR_PIXELS}")
        for run in runs:
            yield from guarded([run], self._of_network)

    def _of_network(self, runs: Sequence["Run"]) -> Iterator["Outcome"]:
        (run,) = runs
        start = time.perf_counter()
        network = self.net.extract(self.net.space.parse(run.spec)).to(self.place.device).eval()
        found = protocol_of(run).measure(network, self.data.image_size, self.place)
        yield run, self._outcome(run, found, time.perf_counter() - start)

    def _outcome(
        self, run: "Run", found: Measurement | Exception, seconds: float, facts: dict[str, Any] | None = None
    ) -> "Result | Exception":
        if isinstance(found, Exception):
            return found
        return run.result(
            outcomes=found.outcomes,
            galleries=found.galleries,
            metrics=found.metrics,
            units=find_task(run.task).units(found.metrics),
            higher_is_better=find_task(run.task).directions(found.metrics),
            split=found.split,
            image_size=self.data.image_size,
            seconds=seconds,
            facts={**hardware_facts(self.place.device, self.place.amp), **(facts or {}), **found.facts},
            **self._size(run),
        )

    def _size(self, run: "Run") -> dict[str, Any]:
        if self.net is None:
            return {}
        if run.spec not in self._sizes:
            self._sizes[run.spec] = size_facts(self.net, self.net.space.parse(run.spec), self.data.image_size)
        return self._sizes[run.spec]


def _predictions(extractor: Extractor, onlooker: Onlooker, view: str, images: torch.Tensor) -> torch.Tensor:
    return onlooker.predictions(extractor(images), view)


def size_facts(net: Supernet | OutsideNetwork, spec: SubnetSpec | OutsideSpec, image_size: int) -> dict[str, int]:
    """Parameters, MACs per image and number of tensors of one size."""
    module = net.skeleton(spec)
    if next(module.parameters()).is_meta:
        module = copy.deepcopy(module).to("meta")  # its buffers are real
    tensors = len(module.state_dict())
    return {
        "parameters": count_parameters(module),
        "macs": count_macs(module, image_size),
        # the supernet was loaded strictly, and every tensor of a size is a slice of it; so was a network from outside
        "tensors_loaded": tensors,
        "tensors_total": tensors,
    }
