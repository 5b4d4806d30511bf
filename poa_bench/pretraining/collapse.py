"""Does the network still tell images apart? Up to four numbers, and a warning in words."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from poa_bench.errors import InputError
from poa_bench.pretraining.schedules import training_model
from poa_bench.registry import HOOKS


def feature_spread(features: Tensor) -> Tensor:
    """Standard deviation of L2-normalised features (B, w) over the images, times sqrt(w): 1 spread out, 0 all equal."""
    rows = F.normalize(features.float(), dim=-1)
    return rows.std(dim=0).square().sum().sqrt()


def effective_rank(features: Tensor) -> Tensor:
    """Exponential of the entropy of the singular values of centered features (B, w): about how many directions vary."""
    rows = F.normalize(features.float(), dim=-1)
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    share = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.special.entr(share).sum().exp()


def target_entropies(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of the mean target and mean entropy of the targets (B, K), as shares of their largest values.

    The first is 0 when all images choose the same prototype, the second 1 when no image prefers any.
    """
    rows, prototypes = probabilities.shape
    of_mean = torch.special.entr(probabilities.mean(dim=0)).sum() / math.log(min(rows, prototypes))
    mean = torch.special.entr(probabilities).sum(dim=1).mean() / math.log(prototypes)
    return of_mean, mean


@HOOKS.register_module()
class CollapseHook(Hook):
    """Watch the network that is evaluated on the first and every n-th batch and warn when training collapses.

    Logs ``feature_spread`` and ``feature_rank`` of its class features on this process, and ``target_diversity`` and
    ``target_flatness`` where the objective has targets over prototypes (of POA, those of the teacher's first head,
    before balancing).

    Args:
        interval: iterations between checks; each costs a forward pass over the global crops.
        begin: epochs without warnings: untrained networks give almost equal features.
        least_spread, least_rank, least_diversity, most_flatness: what lies beyond is reported.
    """

    def __init__(
        self,
        interval: int = 500,
        begin: float = 10,
        least_spread: float = 0.1,
        least_rank: float = 2.0,
        least_diversity: float = 0.2,
        most_flatness: float = 0.99,
    ):
        if interval < 1:
            raise InputError(f"interval of the collapse check is {interval}: it must be at least 1 iteration")
        self.interval, self.begin = interval, begin
        self.limits = {
            "feature_spread": (least_spread, None, "the features of different images are almost equal"),
            "feature_rank": (least_rank, None, "the features vary along too few directions"),
            "target_diversity": (least_diversity, None, "nearly all images choose the same prototypes"),
            "target_flatness": (None, most_flatness, "the targets prefer no prototype"),
        }

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Check, log, warn; the first check is for the log alone, whose lines all have the numbers then."""
        due = self.every_n_train_iters(runner, self.interval)
        if not due and "train/feature_spread" in runner.message_hub.log_scalars:
            return
        numbers = self.measure(training_model(runner), data_batch)
        for name, value in numbers.items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        if due and runner.iter >= self.begin * len(runner.train_dataloader):
            for sentence in self.warnings(numbers):
                runner.logger.warning(f"collapse? {sentence} (iteration {runner.iter + 1})")

    @torch.no_grad()
    def measure(self, model: Any, data_batch: dict) -> dict[str, float]:
        """The numbers of one batch of ``collate_crops``: two, or four where there are targets."""
        images = model.data_preprocessor(data_batch, training=True)["inputs"]["global_crops"]
        features, targets = model.watch(images)
        values = {"feature_spread": feature_spread(features), "feature_rank": effective_rank(features)}
        if targets is not None:
            values["target_diversity"], values["target_flatness"] = target_entropies(targets)
        return {name: value.item() for name, value in values.items()}

    def warnings(self, numbers: dict[str, float]) -> list[str]:
        """One sentence for every number beyond its limit."""
        found = []
        for name, value in numbers.items():
            least, most, meaning = self.limits[name]
            if (least is not None and value < least) or (most is not None and value > most):
                limit = f"at least {least:g}" if most is None else f"at most {most:g}"
                found.append(
                    f"{meaning}: {name} is {value:.3g}, healthy is {limit}; lower the learning rate, warm up longer, "
                    "or check the teacher's temperature and momentum"
                )
        return found
