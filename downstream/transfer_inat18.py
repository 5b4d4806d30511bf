# Fine-tuning on iNaturalist 2018: the paper's settings for ViT-S, 8 GPUs (downstream/README.md has ViT-B's rate).
#   mim train mmpretrain downstream/transfer_inat18.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-s model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = ["../configs/_base_/runtime/transfer_runtime.py", "../configs/_base_/datasets/evaluation_inat18.py"]
data_preprocessor = dict(num_classes=8142)  # mixup
model = dict(head=dict(num_classes=8142))
train_dataloader = dict(dataset=dict(parts=[_base_.evaluation.train]))
val_dataloader = dict(dataset=dict(parts=[_base_.evaluation.test]))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=4e-4))
train_cfg = dict(max_epochs=360, val_interval=20)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(warmup=5 / 360)
measurement = dict(dataset="inat18")
