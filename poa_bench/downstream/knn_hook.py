"""k-NN of chosen sizes while the supernet is still being trained."""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from poa_bench.downstream.features import extract_features
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn import knn_accuracy
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.elastic import Supernet
from poa_bench.errors import InputError
from poa_bench.registry import HOOKS


@HOOKS.register_module()
class KnnHook(Hook):
    """Log k-NN accuracy of the evaluated sub-networks every n epochs, on a validation split, never on the test split.

    Args:
        data: an evaluation config by name (``digits``) or path; its ``val`` split is used.
        sizes: specs such as ``vit-w64-d4``; None takes the smallest and the intact one.
        interval: epochs between two measurements; there is one at the end of the run, too.
        k, temperature: of the weighted vote.
        options: overrides of the evaluation config.
    """

    priority = "LOW"  # after the teacher's update, before the checkpoint

    def __init__(
        self,
        data: str,
        sizes: Sequence[str] | None = None,
        interval: float = 10,
        k: int = 20,
        temperature: float = 0.07,
        options: dict[str, Any] | None = None,
    ):
        self.data = EvaluationData.load(data, options)
        if self.data.val is None:
            raise InputError(f"evaluation config {data} has no val split: KnnHook does not look at test images")
        self._resolved = lru_cache(maxsize=1)(self.data.resolved)  # keeps the decoded pictures
        self.sizes, self.interval, self.k, self.temperature = sizes, interval, k, temperature

    def before_train(self, runner: Runner) -> None:
        """Before hours are spent: take what training does with its pictures, refuse sizes and numbers that do not fit.

        Raises:
            InputError: a size is outside the space, splits do not fit each other, or train has fewer pictures than `k`.
        """
        net = _network(runner)
        self._specs(net)
        for remark in self.data.remarks(net.preprocessing):
            runner.logger.warning(remark)
        if (images := len(self._splits(net)["train"])) < self.k:
            raise InputError(f"KnnHook has k = {self.k}, but train of {self.data.name} has {images} images: lower k")

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Measure when due."""
        interval = max(1, round(self.interval * len(runner.train_dataloader)))
        if not (self.every_n_train_iters(runner, interval) or self.is_last_train_iter(runner)):
            return
        start = time.perf_counter()
        found = self.measure(_network(runner))
        # not through the message hub, whose numbers wait for the next line of the log: the last ones would be lost
        scalars = {f"knn/{size}": accuracy for size, accuracy in found.items()}
        runner.visualizer.add_scalars(scalars, runner.iter + 1, file_path=f"{runner.timestamp}.json")
        for size, accuracy in found.items():
            runner.logger.info(f"k-NN top-1 of {size}: {accuracy:.2f} % (k {self.k}, validation split)")
        runner.logger.info(f"k-NN took {time.perf_counter() - start:.1f} s")

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

    def _splits(self, net: Supernet) -> dict[str, LabelledImages]:
        return self._resolved(net.preprocessing, net.image_size).splits

    def _specs(self, net: Supernet) -> dict[str, Any]:
        sizes = self.sizes or [str(net.space.smallest), str(net.space.intact)]
        return {size: net.space.parse(size) for size in sizes}


def _network(runner: Runner) -> Supernet:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.evaluated_network
