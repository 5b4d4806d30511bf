# 160,000 iterations, learning rate falling linearly to 1e-7, 1500 iterations of warm-up.
_base_ = "./adamw_layer_decay.py"

max_iters = 160000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=16000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, begin=1500, end=max_iters, eta_min=1e-7, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
