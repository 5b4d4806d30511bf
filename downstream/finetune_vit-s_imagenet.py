# Fine-tuning of the size vit-s on ImageNet-1K, 200 epochs on 8 GPUs (downstream/README.md):
#   mim train mmpretrain downstream/finetune_vit-s_imagenet.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = "../configs/_base_/runtime/finetune_runtime.py"
model = dict(backbone=dict(spec="vit-s"))
train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=200)
optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(layer_decay_rate=0.55))
auto_scale_lr = dict(enable=False, base_batch_size=2048)
