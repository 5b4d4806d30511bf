# MoCo v3 (arXiv 2104.02057) on ImageNet-1K, 143 ViT sizes from one run:
#   torchrun --nproc_per_node=8 tools/train.py moco_vit_imagenet.py --launcher pytorch
# or one size: `--cfg-options model.students=intact model.backbone.space.widths=[384] model.backbone.space.depths=[12]`.
# Never run at this size. The paper's ViT-S (12 heads: model.backbone.space.head_dim=32) has 73.2 by linear probe after
# 300 epochs of batch 4096; its positions are fixed sines, here they are learned.
_base_ = [
    "../../configs/_base_/models/poa_vit_paper.py",
    "../../configs/_base_/datasets/data_imagenet_pretrain.py",
    "../../configs/_base_/schedules/pretrain_adamw.py",
]
model = dict(
    _delete_=True,
    type="poa_bench.MoCoV3",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    head=dict(type="poa_bench.ContrastHead"),
    compile_blocks=True,
)
model["backbone"].update(init_values=None, drop_path_rate=0.0)
train_dataloader = _base_.train_dataloader
train_dataloader["batch_size"] = 128
train_dataloader["dataset"]["pipeline"][0].update(
    local_count=0, global_scale=(0.08, 1.0), photometric=dict(blur=(1.0, 0.1, 0.0), solarise=(0.0, 0.2, 0.0))
)
sync_bn = "torch"  # the heads' batch norms see the pictures of all processes
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(
    type="poa_bench.Bfloat16OptimWrapper",
    optimizer=dict(lr=1.5e-4, weight_decay=0.1, fused=True),
    paramwise_cfg=dict(layer_decay=1.0, patch_embed_lr=1.0),
    clip_grad=dict(max_norm=float("inf")),  # the norm is logged, not limited
)
param_scheduler = _base_.param_scheduler[:2]  # warm-up, learning rate; weight decay stays
param_scheduler[0].update(end=40)
param_scheduler[1].update(begin=40, eta_min_ratio=0.0)
default_hooks = dict(
    subnet=dict(mode="rank"),
    learning_rate_scale=dict(base_batch_size=256, rule="linear"),
    teacher_momentum=dict(
        type="poa_bench.ScheduleHook", attribute="teacher_momentum", start=0.99, end=1.0, shape="cosine"
    ),
    collapse=dict(type="poa_bench.CollapseHook", interval=800),
    checkpoint=dict(interval=800),
)
