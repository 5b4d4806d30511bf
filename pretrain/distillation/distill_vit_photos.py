# The 12 sizes of poa_vit_photos.py from one frozen network, of such a pre-training or any of timm's (docs/distill.md):
#   python tools/train.py distill_vit_photos.py --cfg-options model.teacher.checkpoint=FILE
#   python tools/train.py distill_vit_photos.py --cfg-options \
#       model.teacher.timm_name=vit_small_patch14_dinov2.lvd142m model.teacher.checkpoint=FILE
_base_ = [
    "../../configs/_base_/models/vit_photos.py",
    "../../configs/_base_/datasets/data_photos_pretrain.py",
    "../../configs/_base_/schedules/distill_digits.py",
]
model = dict(
    type="poa_bench.Distill",
    teacher=dict(checkpoint=None),
    head=dict(_delete_=True, type="poa_bench.FeatureMatching", weights=dict(masked=0.0), normalised=True),
)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
train_cfg = dict(max_epochs=16)
default_hooks = dict(checkpoint=dict(interval=200))
