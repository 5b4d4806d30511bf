# Fine-tuning on ImageNet-1K with the settings of the paper (table 8), 200 epochs for ViT-S; any size of any family.
#   mim train mmpretrain downstream/finetune_imagenet.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-s model.backbone.init_cfg.checkpoint=supernet.pth
# What else follows the size (epochs, learning rate, layer decay): see the table in downstream/README.md.
_base_ = [
    "../configs/_base_/models/classifier.py",
    "../configs/_base_/schedules/finetune_cosine.py",
    "mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py",
    "mmpretrain::_base_/default_runtime.py",
]
model = dict(train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]))
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(layer_decay_rate=0.55))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
measurement = dict(
    task="classification",
    protocol="finetune-200e/1",
    dataset="imagenet",
    split="val",
    metrics={"top1": "accuracy/top1", "top5": "accuracy/top5"},
)
