"""Child registries of mmengine's, scope ``poa_bench``.

Configs spell our types with the scope (``type='poa_bench.POA'``). mmengine then imports this module by its name and, on
the first look-up in a registry, the modules in its ``locations``: no ``custom_imports`` in any config.

The modules in ``locations`` need torch, timm and mmengine only. A type whose module needs mmcv, mmdet or mmseg goes
into ``on_demand`` instead: its module is imported when exactly that type is asked for.
"""

from importlib import import_module

from mmengine.registry import DATA_SAMPLERS as _DATA_SAMPLERS
from mmengine.registry import DATASETS as _DATASETS
from mmengine.registry import EVALUATOR as _EVALUATOR
from mmengine.registry import FUNCTIONS as _FUNCTIONS
from mmengine.registry import HOOKS as _HOOKS
from mmengine.registry import INFERENCERS as _INFERENCERS
from mmengine.registry import LOG_PROCESSORS as _LOG_PROCESSORS
from mmengine.registry import LOOPS as _LOOPS
from mmengine.registry import METRICS as _METRICS
from mmengine.registry import MODEL_WRAPPERS as _MODEL_WRAPPERS
from mmengine.registry import MODELS as _MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as _OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as _OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as _OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as _PARAM_SCHEDULERS
from mmengine.registry import RUNNER_CONSTRUCTORS as _RUNNER_CONSTRUCTORS
from mmengine.registry import RUNNERS as _RUNNERS
from mmengine.registry import STRATEGIES as _STRATEGIES
from mmengine.registry import TASK_UTILS as _TASK_UTILS
from mmengine.registry import TRANSFORMS as _TRANSFORMS
from mmengine.registry import VISBACKENDS as _VISBACKENDS
from mmengine.registry import VISUALIZERS as _VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as _WEIGHT_INITIALIZERS
from mmengine.registry import Registry

SCOPE = "poa_bench"


class OnDemandRegistry(Registry):
    """A registry that imports the module of some types only when they are asked for.

    Args:
        name: the registry's name.
        parent: the mmengine registry of the same kind.
        locations: modules imported at the first look-up of any type.
        on_demand: ``{type name: module}``, imported at the look-up of that type alone.
    """

    def __init__(self, name: str, parent: Registry, locations: list[str], on_demand: dict[str, str] | None = None):
        super().__init__(name, parent=parent, scope=SCOPE, locations=locations)
        self.on_demand = dict(on_demand or {})

    def get(self, key: str):
        """Return the class registered as ``key`` (with or without our scope), or None."""
        module = self.on_demand.get(key.removeprefix(f"{SCOPE}."))
        if module is not None:
            import_module(module)
        return super().get(key)


# Modules are added here when they land; one line per module that registers something.
MODELS = OnDemandRegistry(
    "model",
    _MODELS,
    [
        "poa_bench.downstream.backbone",
        "poa_bench.downstream.necks",
        "poa_bench.downstream.sized_model",
        "poa_bench.pretraining.balancing",
        "poa_bench.pretraining.contrast",
        "poa_bench.pretraining.heads",
        "poa_bench.pretraining.matching",
        "poa_bench.pretraining.objective",
        "poa_bench.pretraining.objectives.distill",
        "poa_bench.pretraining.objectives.distill_prototypes",
        "poa_bench.pretraining.objectives.mae",
        "poa_bench.pretraining.objectives.moco",
        "poa_bench.pretraining.objectives.poa",
        "poa_bench.pretraining.pixels",
        "poa_bench.pretraining.preprocessor",
        "poa_bench.pretraining.similarity",
    ],
    on_demand={"FirstLayerClsHead": "poa_bench.downstream.first_layer_head"},
)
DATASETS = OnDemandRegistry(
    "dataset",
    _DATASETS,
    [
        "poa_bench.datasets.classification",
        "poa_bench.datasets.depth",
        "poa_bench.datasets.for_classifiers",
        "poa_bench.datasets.official",
        "poa_bench.datasets.unlabelled",
    ],
    on_demand={
        "DigitsDetection": "poa_bench.datasets.dense",
        "DigitsSegmentation": "poa_bench.datasets.dense",
        "NamedCocoDataset": "poa_bench.datasets.coco",
    },
)
TRANSFORMS = OnDemandRegistry("transform", _TRANSFORMS, ["poa_bench.pretraining.crops"])
FUNCTIONS = OnDemandRegistry("function", _FUNCTIONS, ["poa_bench.pretraining.crops"])
DATA_SAMPLERS = OnDemandRegistry("data sampler", _DATA_SAMPLERS, ["poa_bench.pretraining.samplers"])
HOOKS = OnDemandRegistry(
    "hook",
    _HOOKS,
    [
        "poa_bench.downstream.class_names_hook",
        "poa_bench.downstream.knn_hook",
        "poa_bench.downstream.rank_hook",
        "poa_bench.downstream.whole_checkpoint_hook",
        "poa_bench.pretraining.collapse",
        "poa_bench.pretraining.compute",
        "poa_bench.pretraining.hooks",
        "poa_bench.pretraining.safety",
        "poa_bench.pretraining.schedules",
        "poa_bench.pretraining.starting",
        "poa_bench.patience",
        "poa_bench.preemption",
    ],
)
LOOPS = OnDemandRegistry("loop", _LOOPS, ["poa_bench.pretraining.loop"])
METRICS = OnDemandRegistry(
    "metric",
    _METRICS,
    [],
    on_demand={
        "DigitsCocoMetric": "poa_bench.datasets.dense",
        "NamedCocoMetric": "poa_bench.datasets.coco",
    },
)
OPTIMIZERS = OnDemandRegistry("optimizer", _OPTIMIZERS, ["poa_bench.pretraining.optim"])
OPTIM_WRAPPERS = OnDemandRegistry("optim_wrapper", _OPTIM_WRAPPERS, ["poa_bench.pretraining.optim"])
OPTIM_WRAPPER_CONSTRUCTORS = OnDemandRegistry(
    "optimizer wrapper constructor",
    _OPTIM_WRAPPER_CONSTRUCTORS,
    ["poa_bench.downstream.layer_decay", "poa_bench.pretraining.optim"],
)
PARAM_SCHEDULERS = OnDemandRegistry("parameter scheduler", _PARAM_SCHEDULERS, ["poa_bench.downstream.warmup_cosine"])
# Nothing of ours is in these. mmengine looks for them in the default scope, and warns of each that is not there.
EVALUATORS = OnDemandRegistry("evaluator", _EVALUATOR, [])
INFERENCERS = OnDemandRegistry("inferencer", _INFERENCERS, [])
LOG_PROCESSORS = OnDemandRegistry("log_processor", _LOG_PROCESSORS, [])
MODEL_WRAPPERS = OnDemandRegistry("model_wrapper", _MODEL_WRAPPERS, [])
RUNNER_CONSTRUCTORS = OnDemandRegistry("runner constructor", _RUNNER_CONSTRUCTORS, [])
RUNNERS = OnDemandRegistry("runner", _RUNNERS, [])
STRATEGIES = OnDemandRegistry("strategy", _STRATEGIES, [])
TASK_UTILS = OnDemandRegistry("task util", _TASK_UTILS, [])
VISBACKENDS = OnDemandRegistry("vis_backend", _VISBACKENDS, [])
VISUALIZERS = OnDemandRegistry("visualizer", _VISUALIZERS, [])
WEIGHT_INITIALIZERS = OnDemandRegistry("weight initializer", _WEIGHT_INITIALIZERS, [])
