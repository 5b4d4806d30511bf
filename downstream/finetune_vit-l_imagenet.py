# Fine-tuning of the size vit-l on ImageNet-1K, 50 epochs on 8 GPUs (downstream/README.md):
#   mim train mmpretrain downstream/finetune_vit-l_imagenet.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = "../configs/_base_/runtime/finetune_runtime.py"
model = dict(backbone=dict(spec="vit-l"))
train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=50)
optim_wrapper = dict(optimizer=dict(lr=1.8e-3), paramwise_cfg=dict(layer_decay_rate=0.6))
auto_scale_lr = dict(enable=False, base_batch_size=2048)
