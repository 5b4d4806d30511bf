# Thirty epochs on a few thousand photos; not tuned.
_base_ = "./poa_adamw.py"

epochs = 30
warmup = 3
train_cfg = dict(max_epochs=epochs)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=warmup)
param_scheduler[1].update(begin=warmup)
default_hooks = dict(
    teacher_temperature=dict(length=warmup),
    patch_weight=dict(begin=warmup),
    collapse=dict(type="poa_bench.CollapseHook", interval=100, begin=5),
)
