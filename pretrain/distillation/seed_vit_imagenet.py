# SEED (ICLR 2021) on ImageNet-1K, from the largest network of poa_vit_imagenet.py trained alone
# (`model.variant=intact`): similarities of its head's feature to a queue of 65,536. The paper's Table 4 compares POA
# with it. Of one size:
#   torchrun --nproc_per_node=8 tools/train.py seed_vit_imagenet.py --launcher pytorch --cfg-options \
#       model.teacher.checkpoint=FILE model.students=intact model.backbone.space.widths=[384] \
#       model.backbone.space.depths=[12]
# Never run at this size; how the paper's SEED trained ViTs is not known: AdamW and the other distillation's schedule.
_base_ = "./distill_vit_from-dinov2.py"

model = dict(
    teacher=dict(_delete_=True, checkpoint=None, feature="head"),
    head=dict(_delete_=True, type="poa_bench.QueueSimilarity", entries=65536),
)
