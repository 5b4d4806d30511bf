# Fine-tuning on CIFAR-10: the paper's settings for ViT-S, 8 GPUs (downstream/README.md has ViT-B's rate).
#   mim train mmpretrain downstream/transfer_cifar10.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-s model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = ["../configs/_base_/runtime/transfer_runtime.py", "../configs/_base_/datasets/evaluation_cifar10-official.py"]
data_preprocessor = dict(num_classes=10)  # mixup
model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(parts=[_base_.evaluation.train]))
val_dataloader = dict(dataset=dict(parts=[_base_.evaluation.test]))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=8e-6))
measurement = dict(dataset="cifar10-official")
