# Fine-tuning on ImageNet-1K as the official code does it, but for what follows the size: that is in
# downstream/finetune_<size>_imagenet.py. RandAugment (timm's, magnitude 9, deviation 0.5) and random erasing are those
# of mmpretrain's Swin.
_base_ = [
    "../models/classifier.py",
    "../schedules/finetune_cosine.py",
    "mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py",
    "mmpretrain::_base_/default_runtime.py",
]
model = dict(train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
measurement = dict(
    task="classification",
    protocol="finetune-official/1",
    dataset="imagenet",
    split="val",
    metrics={"top1": "accuracy/top1", "top5": "accuracy/top5"},
)
