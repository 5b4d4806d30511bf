# MAE (arXiv 2111.06377) on ImageNet-1K, 143 ViT sizes from one run:
#   torchrun --nproc_per_node=8 tools/train.py mae_vit_imagenet.py --launcher pytorch
# or one size: `--cfg-options model.students=intact model.backbone.space.widths=[768] model.backbone.space.depths=[12]`.
# Never run at this size. Judge it by fine-tuning and dense tasks: a published ViT-B has 11.2 by k-NN and 83 when it is
# fine-tuned. The paper: one size, 800 or 1,600 epochs of batch 4096; the encoder's positions are fixed sines, here they
# are learned. The two crops of a picture are two pictures, so an epoch is two of the paper's.
_base_ = [
    "../../configs/_base_/models/poa_vit_paper.py",
    "../../configs/_base_/datasets/data_imagenet_pretrain.py",
    "../../configs/_base_/schedules/pretrain_adamw.py",
]
model = dict(
    _delete_=True,
    type="poa_bench.MAE",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    head=dict(type="poa_bench.PixelDecoder", width=512, depth=8, heads=16),
    compile_blocks=True,
)
model["backbone"].update(init_values=None, drop_path_rate=0.0)
train_dataloader = _base_.train_dataloader
train_dataloader["batch_size"] = 256
train_dataloader["dataset"]["pipeline"][0].update(local_count=0, global_scale=(0.2, 1.0), photometric=None)
train_cfg = dict(max_epochs=400)
optim_wrapper = dict(
    type="poa_bench.Bfloat16OptimWrapper",
    optimizer=dict(lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=1.0, patch_embed_lr=1.0),
    clip_grad=dict(max_norm=float("inf")),  # the norm is logged, not limited
)
param_scheduler = _base_.param_scheduler[:2]  # warm-up, learning rate; weight decay stays
param_scheduler[0].update(end=20)
param_scheduler[1].update(begin=20, eta_min_ratio=0.0)
default_hooks = dict(
    subnet=dict(mode="rank"),
    # of pictures, which are two crops each: the paper's 1.5e-4 * crops / 256
    learning_rate_scale=dict(base_batch_size=128, rule="linear"),
    collapse=dict(type="poa_bench.CollapseHook", interval=800),
    checkpoint=dict(interval=800),
)
