"""What hooks have in common that measure chosen sizes while the supernet is still being trained."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.elastic import SubnetSpec, Supernet


class SizesHook(Hook):
    """Log numbers of chosen sizes of the network that evaluations measure, every n epochs and at the end of the run.

    Args:
        data: an evaluation config by name (``digits``) or path.
        sizes: specs such as ``vit-w64-d4``; None takes the smallest and the intact one.
        interval: epochs between two measurements; there is one at the end of the run, too.
        options: overrides of the evaluation config.
    """

    priority = "LOW"  # after the teacher's update, before the checkpoint

    def __init__(
        self,
        data: str,
        sizes: Sequence[str] | None = None,
        interval: float = 10,
        options: dict[str, Any] | None = None,
    ):
        self.data = EvaluationData.load(data, options)
        self._resolved = lru_cache(maxsize=1)(self.data.resolved)  # keeps the decoded pictures
        self.sizes, self.interval = sizes, interval

    @abstractmethod
    def scalars(self, net: Supernet) -> dict[str, float]:
        """What is logged, by the names in the log; every process takes a share of the work and has all numbers."""

    def before_train(self, runner: Runner) -> None:
        """Before hours are spent: take what training does with its pictures, refuse sizes that do not fit.

        Raises:
            InputError: a size is outside the space, or splits do not fit each other.
        """
        net = network_of(runner)
        self._specs(net)
        for remark in self.data.remarks(net.preprocessing):
            runner.logger.warning(remark)
        self._splits(net)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Measure when due."""
        interval = max(1, round(self.interval * len(runner.train_dataloader)))
        if not (self.every_n_train_iters(runner, interval) or self.is_last_train_iter(runner)):
            return
        start = time.perf_counter()
        scalars = self.scalars(network_of(runner))
        # not through the message hub, whose numbers wait for the next line of the log: the last ones would be lost
        runner.visualizer.add_scalars(scalars, runner.iter + 1, file_path=f"{runner.timestamp}.json")
        for name, value in scalars.items():
            runner.logger.info(f"{name}: {value:.2f}")
        runner.logger.info(f"{type(self).__name__} took {time.perf_counter() - start:.1f} s")

    def _splits(self, net: Supernet) -> dict[str, LabelledImages]:
        return self._resolved(net.preprocessing, net.image_size).splits

    def _specs(self, net: Supernet) -> dict[str, SubnetSpec]:
        sizes = self.sizes or [str(net.space.smallest), str(net.space.intact)]
        return {size: net.space.parse(size) for size in sizes}


def network_of(runner: Runner) -> Supernet:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.evaluated_network
