# Fine-tuning of the size swin-s on ImageNet-1K, 100 epochs on 8 GPUs (downstream/README.md):
#   mim train mmpretrain downstream/finetune_swin-s_imagenet.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = "../configs/_base_/runtime/finetune_runtime.py"
model = dict(backbone=dict(spec="swin-s"))
train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=0.4))
auto_scale_lr = dict(enable=False, base_batch_size=1024)
