# Fine-tuning on Flowers-102, train and validation split together: the paper's settings for ViT-S, 8 GPUs
# (downstream/README.md has ViT-B's rate).
#   mim train mmpretrain downstream/transfer_flowers.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-s model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = ["../configs/_base_/runtime/transfer_runtime.py", "../configs/_base_/datasets/evaluation_flowers.py"]
data_preprocessor = dict(num_classes=102)  # mixup
model = dict(head=dict(num_classes=102))
train_dataloader = dict(dataset=dict(parts=[_base_.evaluation.train, _base_.evaluation.val]))
val_dataloader = dict(dataset=dict(parts=[_base_.evaluation.test]))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=6e-4))
measurement = dict(dataset="flowers")
