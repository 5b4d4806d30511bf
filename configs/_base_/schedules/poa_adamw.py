# The paper's schedules; lengths are in epochs. The hooks have names so that a config can override one number:
#   default_hooks = dict(patch_weight=dict(begin=3))
_base_ = "./pretrain_adamw.py"

default_hooks = dict(
    teacher_temperature=dict(
        type="poa_bench.ScheduleHook", attribute="teacher_temperature", start=0.04, end=0.07, length=30
    ),
    teacher_momentum=dict(
        type="poa_bench.ScheduleHook", attribute="teacher_momentum", start=0.992, end=0.9999, shape="cosine"
    ),
    patch_weight=dict(type="poa_bench.ScheduleHook", attribute="patch_weight", start=0.0, end=1.0, begin=30, length=0),
    freeze_last_layer=dict(type="poa_bench.FreezeLastLayerHook", epochs=1),
)
