# AdamW with layer-wise decay; warm-up over a tenth of the run and cosine to 1e-6, both of the length that
# train_cfg.max_epochs says. What is evaluated is the running average of the weights, 0.7 old and 0.3 new.
_base_ = "./adamw_layer_decay.py"

train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=5)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [dict(type="poa_bench.WarmupCosineLR", warmup=0.1, eta_min=1e-6, by_epoch=False)]
custom_hooks = [
    dict(type="mmengine.EMAHook", ema_type="ExponentialMovingAverage", momentum=0.3),
    dict(type="poa_bench.WholeCheckpointHook"),
]
