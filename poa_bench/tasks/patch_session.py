"""Dense protocols of many sizes on one data set: patches are extracted once for all that look at pictures alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from rich.progress import Progress

from poa_bench.downstream.depth import DepthMaps
from poa_bench.downstream.features import Key, Place, packed
from poa_bench.downstream.images import LABEL_MAPS, EvaluationData
from poa_bench.downstream.label_maps import LabelMaps
from poa_bench.downstream.linear import val_split
from poa_bench.downstream.patch_galleries import KeptPictures, components, predicted_maps
from poa_bench.downstream.patch_heads import Fitted
from poa_bench.downstream.patch_maps import PatchExtractor, patch_extractor, pixel_extractor
from poa_bench.downstream.patches import Patches, PatchPass, View
from poa_bench.downstream.scenes import Scenes
from poa_bench.elastic import Supernet
from poa_bench.errors import InputError
from poa_bench.outside.network import OutsideNetwork
from poa_bench.runs.galleries import Gallery, handful, without_harm
from poa_bench.runs.results import VALIDATION
from poa_bench.tasks import check_truth
from poa_bench.tasks.base import Measurement
from poa_bench.tasks.patches import FrozenPatches, PatchProtocol

BYTES = 8 * 2**30  # memory for the patches and weights of the sizes that share one pass over the pictures

Wanted = Mapping[Key, Sequence[PatchProtocol]]


class Found(NamedTuple):
    """What became of one protocol of one size."""

    key: Any
    protocol: PatchProtocol
    outcome: Measurement | Exception
    seconds: float
    facts: dict[str, Any]


@dataclass
class PatchSession:
    """One network on one data set; without a network, the raw pixels."""

    data: EvaluationData
    net: Supernet | OutsideNetwork | None
    place: Place
    seed: int
    progress: Progress | None = None

    def measure(self, wanted: Wanted) -> Iterator[Found]:
        """Protocols of sizes, by their names; all of them look at pictures alike.

        Raises:
            InputError: the data have no such maps, or too few pictures.
        """
        protocol = next(protocol for protocols in wanted.values() for protocol in protocols)
        check_truth(protocol, self.data.name, self.data.truth)
        view = View(protocol.stride, protocol.context, protocol.overlap, protocol.patches)
        scenes = self.data.scenes
        bounds = {name: max(view.patches, len(split)) for name, split in scenes.items() if name != "test"}
        needs = {key: self._bytes(key, view, sum(bounds.values())) for key in wanted}
        # pictures that are read once anyway: results are there soonest where each size is done on its own
        small = all(split.is_small for split in scenes.values())
        for keys in [[key] for key in wanted] if small else packed(needs, BYTES):
            yield from self._in_one_pass({key: wanted[key] for key in keys}, view)

    def _bytes(self, key: Key, view: View, patches: int) -> int:
        extractor, weights = pixel_extractor(view.context), 0
        if self.net is not None:
            skeleton = self.net.skeleton(self.net.space.parse(key))
            extractor = patch_extractor(skeleton, view.stride, view.context)
            weights = sum(parameter.numel() for parameter in skeleton.parameters())
        return 4 * (patches * extractor.width + weights)

    def _extractor(self, key: Key, view: View) -> PatchExtractor:
        if self.net is None:
            return pixel_extractor(view.context)
        network = self.net.extract(self.net.space.parse(key)).to(self.place.device).eval()
        return patch_extractor(network, view.stride, view.context)

    def _in_one_pass(self, wanted: Wanted, view: View) -> Iterator[Found]:
        scenes = self.data.scenes
        truth = LabelMaps(len(scenes["train"].classes)) if self.data.truth == LABEL_MAPS else DepthMaps()
        extractors = {key: self._extractor(key, view) for key in wanted}
        work = PatchPass(extractors, view, truth, self.place, self._track)
        patches = {name: work.sample(split, self.seed) for name, split in scenes.items() if name != "test"}
        held = None if "val" in scenes else held_out(len(scenes["train"]), self.data.val_share, self.seed)
        errors: dict[tuple[Key, PatchProtocol], Exception] = {}
        heads: dict[Key, dict[PatchProtocol, Fitted]] = {key: {} for key in patches["train"]}
        for key, fitted in heads.items():
            frozen = self._frozen({name: of_split[key] for name, of_split in patches.items()}, held)
            for protocol in wanted[key]:
                with work.guarded(key, protocol, errors):
                    fitted[protocol] = protocol.fit(frozen)
        of_val = work.compare(scenes.get("val", scenes["train"]), _each(heads, "of_val"), held)
        kept = KeptPictures(handful(len(scenes["test"])))
        of_test = work.compare(scenes["test"], _each(heads, "of_test"), kept=kept)
        facts = {f"{name}_pictures": len(split) for name, split in scenes.items()} | {"batch": self.data.batch_size}
        for key, protocols in wanted.items():
            of_patches: list[Gallery] = []
            said: dict[str, Any] = {}
            with without_harm(said):
                of_patches += [components(kept, key, extractors[key].stride)] if key not in work.failures else []
            for protocol in protocols:
                outcome = work.failures.get(key) or errors.get((key, protocol))
                if outcome is None:
                    rows = of_val[key, protocol], of_test[key, protocol]
                    called = val_split(held is not None, self.seed)
                    outcome = _measurement(truth, *rows, called, heads[key][protocol].facts | said)
                    with without_harm(outcome.facts):
                        outcome.galleries = [predicted_maps(kept, key, protocol, scenes["train"]), *of_patches]
                seconds = work.seconds[key, None], work.seconds[key, protocol]
                yield Found(key, protocol, outcome, sum(seconds), {**facts, "feature_seconds": seconds[0]})

    def _frozen(self, patches: Mapping[str, Patches], held: Sequence[int] | None) -> FrozenPatches:
        if held is None:
            return FrozenPatches(patches["train"], patches["val"], False, self.place)
        chosen = torch.zeros(len(self.data.scenes["train"]), dtype=torch.bool)
        chosen[list(held)] = True
        train = patches["train"]
        parts = (train.of(positions.nonzero().squeeze(1)) for positions in (~chosen, chosen))
        return FrozenPatches(*parts, True, self.place)

    def _track(self, batches: Iterator, scenes: Scenes) -> Iterator:
        if self.progress is None:
            return batches
        total = -(-len(scenes) // scenes.parts)
        return self.progress.track(batches, total=total, description=f"{self.data.name} {scenes.split}")


def held_out(pictures: int, share: float, seed: int) -> list[int]:
    """Positions of the pictures that are held out of train, ascending; the same for the same seed.

    Raises:
        InputError: there is no second picture.
    """
    if pictures < 2:
        raise InputError("train has one picture, so that none can be held out: give more, or evaluation.val")
    count = min(max(1, round(share * pictures)), pictures - 1)
    return sorted(torch.randperm(pictures, generator=torch.Generator().manual_seed(seed))[:count].tolist())


def _each(heads: Mapping[Key, Mapping[PatchProtocol, Fitted]], name: str) -> dict[Key, dict[PatchProtocol, Any]]:
    return {key: {protocol: getattr(each, name) for protocol, each in of.items()} for key, of in heads.items()}


def _measurement(
    truth: LabelMaps | DepthMaps, of_val: Any, of_test: Any, called: str, facts: dict[str, Any]
) -> Measurement:
    """Scores of the test split, and by the first of them on the validation split (`called` so) sizes are chosen."""
    outcomes = truth.scores(of_test)
    first, chosen_by = next(iter(truth.scores(of_val).items()))
    outcomes[f"{VALIDATION}{first}"] = replace(chosen_by, split=called)
    metrics = {name: outcome.score for name, outcome in outcomes.items()}
    return Measurement(metrics, {**facts, "val_pictures": len(of_val)}, outcomes=outcomes)
