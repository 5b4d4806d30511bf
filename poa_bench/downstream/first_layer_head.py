"""`FirstLayerClsHead`: a linear classifier behind the first layer of a projection head."""

from typing import Any

import torch
from mmengine.logging import MMLogger
from mmpretrain.models.heads import StackedLinearClsHead

from poa_bench.downstream.projection_layer import projection_layer
from poa_bench.elastic.branch import Branch
from poa_bench.errors import InputError
from poa_bench.registry import MODELS


@MODELS.register_module()
class FirstLayerClsHead(StackedLinearClsHead):
    """The first layer of a projection head with its GELU, then a new linear classifier; all of it is trained.

    So SimCLRv2 (Chen et al., 2020), iBOT and the paper fine-tune on few labels: from the first layer of the head on.

    Args:
        num_classes: of the classifier.
        in_channels: length of the class feature.
        hidden_features: outputs of the first layer.
        checkpoint: of the pre-training; None leaves the first layer random.
        branch: see `load_supernet`.
        head: which of several projection heads, from 0; the official code does not say which one it takes.
        others: further arguments of mmpretrain's head (`loss`, `init_cfg`, ...).

    Raises:
        InputError: when weights are made, the checkpoint has no such layer.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        hidden_features: int = 2048,
        checkpoint: str | None = None,
        branch: Branch | None = None,
        head: int = 0,
        **others: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, [hidden_features], act_cfg={"type": "GELU"}, **others)
        self.source = checkpoint, head, branch

    def init_weights(self) -> None:
        """A new classifier, and the first layer from the checkpoint."""
        super().init_weights()
        checkpoint, head, branch = self.source
        if checkpoint is None:
            MMLogger.get_current_instance().info("head: no checkpoint given, its first layer is random")
            return
        first = self.layers[0].fc
        weight, bias = projection_layer(checkpoint, self.in_channels, head, branch)
        if len(bias) != first.out_features:
            raise InputError(
                f"the projection heads of {checkpoint} have {len(bias)} hidden features and the config says "
                f"{first.out_features}: set model.head.hidden_features={len(bias)}"
            )
        with torch.no_grad():
            first.weight.copy_(weight)
            first.bias.copy_(bias)
        MMLogger.get_current_instance().info(f"head: first layer of projection head {head} from {checkpoint}")
