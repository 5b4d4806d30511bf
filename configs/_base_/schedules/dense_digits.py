# A short run on the digit scenes: AdamW with layer-wise decay, warm-up, then linear to zero.
_base_ = "./adamw_layer_decay.py"

max_iters = 200
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=5.0), paramwise_cfg=dict(layer_decay_rate=0.8))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=1.0, begin=20, end=max_iters, eta_min=0.0, by_epoch=False),
]
