# Fine-tuning on 1 % of ImageNet's labels: the paper's settings (ViT-S, ResNet-50), 8 GPUs (downstream/README.md).
#   mim train mmpretrain downstream/semi-supervised_1percent.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-s model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/runtime/transfer_runtime.py",
    "../configs/_base_/datasets/evaluation_imagenet-1percent.py",
]
train_dataloader = dict(batch_size=128, dataset=dict(parts=[_base_.evaluation.train]))
val_dataloader = dict(dataset=dict(parts=[_base_.evaluation.test]))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-5))  # 5e-6 for 512 pictures
auto_scale_lr = dict(base_batch_size=1024)
measurement = dict(protocol="semi-supervised-official/1", dataset="imagenet-1percent", split="val")
