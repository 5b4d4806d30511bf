# MoCo v3 on the embedded digits, 12 ViT sizes: two crops of a picture, a momentum encoder, no prototypes.
#   python tools/train.py moco_vit-digits.py
_base_ = [
    "../../configs/_base_/models/poa_vit_digits.py",
    "../../configs/_base_/datasets/digits_pretrain.py",
    "../../configs/_base_/schedules/distill_digits.py",
]
model = dict(
    type="poa_bench.MoCoV3",
    freeze_patch_embed=False,  # minutes of training cannot do without it
    head=dict(_delete_=True, type="poa_bench.ContrastHead", hidden_features=256, out_features=64),
)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
default_hooks = dict(
    teacher_momentum=dict(
        type="poa_bench.ScheduleHook", attribute="teacher_momentum", start=0.95, end=1.0, shape="cosine"
    ),
)
optim_wrapper = dict(optimizer=dict(lr=4e-3))  # 1e-3 at 64 pictures; half or thrice as much learns less
