# So many iterations: AdamW with layer-wise decay, warm-up over a tenth, then cosine. train_cfg.max_iters alone makes it
# longer or shorter; the rate is for a batch of 16 (`--auto-scale-lr` follows another one).
_base_ = "./adamw_layer_decay.py"

train_cfg = dict(type="IterBasedTrainLoop", max_iters=2000, val_interval=1000000)  # evaluated at the end
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(optimizer=dict(lr=3e-4), clip_grad=dict(max_norm=5.0), paramwise_cfg=dict(layer_decay_rate=0.8))
param_scheduler = [dict(type="poa_bench.WarmupCosineLR", warmup=0.1, eta_min=1e-7, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
