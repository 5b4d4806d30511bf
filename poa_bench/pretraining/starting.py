"""Begin a pre-training with weights that are there already: of a larger network, or of an earlier training."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_bench.elastic.branch import Branch
from poa_bench.elastic.checkpoint import load_backbone, load_strictly
from poa_bench.pretraining.schedules import training_model
from poa_bench.registry import HOOKS


@HOOKS.register_module()
class StartHook(Hook):
    """The supernet begins as the network of a file instead of at random, in every branch; a resumed run goes on.

    Heads begin at random all the same. With a file of ``poa-bench slice --order importance`` a small network begins as
    what counts most in a large one (weight subcloning, arXiv 2312.09299).

    Args:
        checkpoint: a training checkpoint that has the intact size of the training, or an extracted file of that size.
        branch: of a training checkpoint, see `load_supernet`.
    """

    def __init__(self, checkpoint: str, branch: Branch | None = None):
        self.checkpoint, self.branch = checkpoint, branch

    def before_train(self, runner: Runner) -> None:
        """Load all tensors or none; raises InputError if they are not those of the size."""
        if runner.iter:
            return
        objective = training_model(runner)
        network, report = load_backbone(self.checkpoint, objective.supernet.space.intact, self.branch)
        for branch in objective.branches:
            load_strictly(objective.get_submodule(branch).backbone.network, network.state_dict(), self.checkpoint)
        runner.logger.info(f"the training begins with another's weights: {report}")
