# Fine-tuning of the size resnet-152 on ImageNet-1K, 100 epochs on 8 GPUs (downstream/README.md):
#   mim train mmpretrain downstream/finetune_resnet-152_imagenet.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = "../configs/_base_/runtime/finetune_resnet_runtime.py"
model = dict(backbone=dict(spec="resnet-152"))
train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=7e-4), paramwise_cfg=dict(layer_decay_rate=0.45))
auto_scale_lr = dict(enable=False, base_batch_size=512)
