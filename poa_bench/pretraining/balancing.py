"""How teacher outputs become balanced targets: Sinkhorn-Knopp (the paper's) or centering (DINO)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from poa_bench.pretraining.targets import Target, mean_logits, sinkhorn_bias
from poa_bench.registry import MODELS


@MODELS.register_module()
class SinkhornTargets(nn.Module):
    """Sinkhorn-Knopp over the rows of all ranks (paper, eq. 5).

    Args:
        iterations: the paper's is 3.
        chunk_elements: how many logits may exist at a time.
    """

    def __init__(self, iterations: int = 3, chunk_elements: int = 1 << 22):
        super().__init__()
        self.iterations = iterations
        self.chunk_elements = chunk_elements

    def prepare(self, names: Sequence[str], prototypes: Sequence[int]) -> None:
        """Nothing to prepare: no state."""

    def forward(self, name: str, head: int, features: Tensor, prototypes: Tensor, temperature: float) -> Target:
        """The target of teacher rows (V, B, d) of one head with its prototypes (K, d)."""
        bias = sinkhorn_bias(features.flatten(0, 1), prototypes, temperature, self.iterations, self.chunk_elements)
        return Target(features, prototypes, temperature, bias)


@MODELS.register_module()
class CenteredTargets(nn.Module):
    """Softmax of the teacher's logits minus a running mean of them (DINO, arXiv 2104.14294).

    A batch is centered with the mean of the batches before it.

    Args:
        momentum: of the running mean.
    """

    def __init__(self, momentum: float = 0.9):
        super().__init__()
        self.momentum = momentum

    def prepare(self, names: Sequence[str], prototypes: Sequence[int]) -> None:
        """Make one running mean for each kind of teacher rows and each head."""
        for name in names:
            for head, count in enumerate(prototypes):
                self.register_buffer(f"center_{name}_{head}", torch.zeros(count))

    def forward(self, name: str, head: int, features: Tensor, prototypes: Tensor, temperature: float) -> Target:
        """The target of teacher rows (V, B, d) of one head with its prototypes (K, d); updates the mean in training."""
        center = self.get_buffer(f"center_{name}_{head}")
        target = Target(features, prototypes, temperature, -center / temperature)
        if self.training:
            mean, rows = mean_logits(features.flatten(0, 1), prototypes)
            center.lerp_(mean, (1 - self.momentum) * (rows > 0))  # a batch without masked patches says nothing
        return target
