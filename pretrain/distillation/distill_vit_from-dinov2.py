# 143 ViT sizes, ViT-S to ViT-L, from DINOv2's ViT-L/14 on ImageNet-1K, the way of Proteus (ICLR 2025): class feature,
# all tokens, masked patches. The teacher sees the same 224 px as 16 x 16 patches of 14 px, which are resized to the
# student's 14 x 14 of 16 px. The weights are timm's (Apache-2.0, vit_large_patch14_dinov2.lvd142m):
#   torchrun --nproc_per_node=8 tools/train.py distill_vit_from-dinov2.py --launcher pytorch \
#       --cfg-options model.teacher.checkpoint=model.safetensors         (or model.teacher.pretrained=True)
# Predicted for 8 H200 of 50 images: 79.85 GiB each, 34 h if they reach 30 % of their rate (poa-bench predict-cost).
# Never run at this size. Proteus' own: one size, 300 epochs, batch 512, learning rate 5e-4 * batch / 512, warm-up of 5
# epochs, augmentation of DeiT; here the crops of POA's global views, two of each picture.
_base_ = [
    "../../configs/_base_/models/poa_vit_paper.py",
    "../../configs/_base_/datasets/data_imagenet_pretrain.py",
    "../../configs/_base_/schedules/pretrain_adamw.py",
]
model = dict(
    _delete_=True,
    type="poa_bench.Distill",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    teacher=dict(timm_name="vit_large_patch14_dinov2.lvd142m", checkpoint=None),
    head=dict(type="poa_bench.FeatureMatching"),
    compile_blocks=True,
)
model["backbone"].update(drop_path_rate=0.1)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
train_cfg = dict(max_epochs=100)
optim_wrapper = dict(
    type="poa_bench.Bfloat16OptimWrapper",
    optimizer=dict(lr=5e-4, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=1.0, patch_embed_lr=1.0),
)
param_scheduler = _base_.param_scheduler[:2]  # warm-up, learning rate; weight decay stays
param_scheduler[0].update(end=5)
param_scheduler[1].update(begin=5, eta_min_ratio=0.02)
default_hooks = dict(
    subnet=dict(mode="rank"),
    learning_rate_scale=dict(base_batch_size=512, rule="linear"),
    collapse=dict(type="poa_bench.CollapseHook", interval=800),
    checkpoint=dict(interval=800),
)
