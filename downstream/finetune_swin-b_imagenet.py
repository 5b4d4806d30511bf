# Fine-tuning of the size swin-b on ImageNet-1K, 50 epochs on 8 GPUs (downstream/README.md):
#   mim train mmpretrain downstream/finetune_swin-b_imagenet.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = "../configs/_base_/runtime/finetune_runtime.py"
model = dict(backbone=dict(spec="swin-b"))
train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=50)
optim_wrapper = dict(optimizer=dict(lr=7e-4), paramwise_cfg=dict(layer_decay_rate=0.55))
auto_scale_lr = dict(enable=False, base_batch_size=512)
