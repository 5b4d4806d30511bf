"""k-NN of chosen sizes while the supernet is still being trained."""

from collections.abc import Sequence
from typing import Any

from mmengine.runner import Runner

from poa_bench.downstream.features import extract_features
from poa_bench.downstream.knn import knn_accuracy
from poa_bench.downstream.sizes_hook import SizesHook, network_of
from poa_bench.elastic import Supernet
from poa_bench.errors import InputError
from poa_bench.registry import HOOKS


@HOOKS.register_module()
class KnnHook(SizesHook):
    """Log k-NN accuracy of sub-networks every n epochs, on a validation split, never on the test split.

    Args:
        data, sizes, interval, options: see :class:`~poa_bench.downstream.sizes_hook.SizesHook`; the ``val`` split
            of the data is used.
        k, temperature: of the weighted vote.
    """

    def __init__(
        self,
        data: str,
        sizes: Sequence[str] | None = None,
        interval: float = 10,
        k: int = 20,
        temperature: float = 0.07,
        options: dict[str, Any] | None = None,
    ):
        super().__init__(data, sizes, interval, options)
        if self.data.val is None:
            raise InputError(f"evaluation config {data} has no val split: KnnHook does not look at test images")
        self.k, self.temperature = k, temperature

    def before_train(self, runner: Runner) -> None:
        """Before hours are spent, refuse what does not fit.

        Raises:
            InputError: as :class:`SizesHook`, or train has fewer pictures than `k`.
        """
        super().before_train(runner)
        if (images := len(self._splits(network_of(runner))["train"])) < self.k:
            raise InputError(f"KnnHook has k = {self.k}, but train of {self.data.name} has {images} images: lower k")

    def scalars(self, net: Supernet) -> dict[str, float]:
        """Accuracies as they are called in the log."""
        return {f"knn/{size}": accuracy for size, accuracy in self.measure(net).items()}

    def measure(self, net: Supernet) -> dict[str, float]:
        """Size -> top-1 accuracy in percent; every process takes a share and has all numbers."""
        device = net.mask_token.device
        # cut out, because compiled blocks would be compiled again for each size of these batches
        extractors = {size: net.extract(spec).eval() for size, spec in self._specs(net).items()}
        splits = self._splits(net)
        found = {split: extract_features(extractors, splits[split], device) for split in ("train", "val")}
        vote = (self.k, self.temperature)
        return {
            size: knn_accuracy(bank.features, bank.labels, query.features, query.labels, [vote], device=device)[vote][
                "top1"
            ]
            for size, bank, query in ((size, found["train"][size], found["val"][size]) for size in extractors)
        }
