"""Before a test: every weight of the network comes from the checkpoint."""

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Size, nn

from poa_bench.downstream.description import BUFFER
from poa_bench.errors import InputError
from poa_bench.registry import HOOKS

# what checkpoints of older versions have not; mmengine does not ask for the first one either
MAY_LACK = ("num_batches_tracked", f"backbone.{BUFFER}", "data_preprocessor.mean", "data_preprocessor.std")


@HOOKS.register_module()
class WholeCheckpointHook(Hook):
    """Refuse to test a network that has tensors which the checkpoint lacks, or has in another shape.

    mmengine leaves them random and goes on, as a training that starts from another data set's network wants it: after a
    forgotten option of a head, the score of random weights looks like a result.
    """

    _found: dict[str, Size] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the shapes of the checkpoint's tensors."""
        tensors = checkpoint.get("state_dict", checkpoint)
        self._found = {name.removeprefix("module."): getattr(value, "shape", None) for name, value in tensors.items()}

    def before_test(self, runner: Runner) -> None:
        """Compare them with the network's."""
        if self._found is not None:
            check_whole(runner.model, self._found)


def check_whole(model: nn.Module, found: dict[str, Size]) -> None:
    """Raise InputError if a tensor of the model is not in the checkpoint, whose shapes are given."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    needed = {name: tensor.shape for name, tensor in model.state_dict().items() if not name.endswith(MAY_LACK)}
    if wrong := [name for name, shape in needed.items() if found.get(name) != shape]:
        name = next((each for each in wrong if each in found), wrong[0])
        shape = list(found[name]) if name in found else "not there"
        raise InputError(
            f"{len(wrong)} of the {len(needed)} tensors of the network are not in the checkpoint ({name} is {shape} "
            f"instead of {list(needed[name])}): test it with the config and the --cfg-options of its training"
        )
