# The paper's optimiser, for any objective; lengths are in epochs. AdamW with layer-wise decay, lr = base * sqrt(batch /
# 1024), linear warm-up and cosine; weight decay 0.04 -> 0.4; a size drawn for every step.
_base_ = "../runtime/pretrain_runtime.py"

train_cfg = dict(type="poa_bench.PretrainLoop", max_epochs=100)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="poa_bench.PretrainOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=0.04),
    paramwise_cfg=dict(layer_decay=0.9, patch_embed_lr=0.2),
    clip_grad=dict(max_norm=1.5),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=10, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min_ratio=4e-3, begin=10, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingParamScheduler",
        param_name="weight_decay",
        eta_min_ratio=10,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    step_seed=dict(type="poa_bench.StepSeedHook"),
    subnet=dict(type="poa_bench.SubnetHook", mode="step"),
    # the paper's text: "proportional to the batch", rule="linear"
    learning_rate_scale=dict(type="poa_bench.LearningRateScaleHook", base_batch_size=1024, rule="sqrt"),
    teacher=dict(type="poa_bench.TeacherHook"),
)
