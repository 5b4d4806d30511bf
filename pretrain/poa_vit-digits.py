# POA on the embedded digits: 12 ViT sizes from one run. A few minutes on 2 cores.
#   mim train poa_bench poa_vit-digits.py        or        python tools/train.py poa_vit-digits.py
_base_ = [
    "../configs/_base_/models/poa_vit_digits.py",
    "../configs/_base_/datasets/digits_pretrain.py",
    "../configs/_base_/schedules/poa_adamw.py",
]
epochs = 20
warmup = 2
train_cfg = dict(max_epochs=epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=warmup, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min_ratio=4e-3, begin=warmup, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingParamScheduler",
        param_name="weight_decay",
        eta_min_ratio=10,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    teacher_temperature=dict(length=warmup),
    patch_weight=dict(begin=warmup),
)
