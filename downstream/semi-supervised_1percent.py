# Fine-tuning on 1 % of ImageNet's labels: the paper's settings (ViT-S, ResNet-50), 8 GPUs (downstream/README.md).
#   mim train mmpretrain downstream/semi-supervised_1percent.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-s model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/runtime/few_labels_runtime.py",
    "../configs/_base_/datasets/evaluation_imagenet-1percent.py",
]
train_dataloader = dict(dataset=dict(parts=[_base_.evaluation.train]))
val_dataloader = dict(dataset=dict(parts=[_base_.evaluation.test]))
test_dataloader = val_dataloader
measurement = dict(dataset="imagenet-1percent")
