# 12 ViT sizes on the embedded digits from one frozen network, by its features: two crops of a picture, no prototypes,
# no moving teacher (docs/distill.md). `make distill-demo` pre-trains the teacher, too; of a demo that is there:
#   python tools/train.py distill_vit-digits.py --cfg-options \
#       model.teacher.checkpoint=work_dirs/demo-vit/pretrain/iter_670.pth
_base_ = [
    "../../configs/_base_/models/poa_vit_digits.py",
    "../../configs/_base_/datasets/digits_pretrain.py",
    "../../configs/_base_/schedules/distill_digits.py",
]
model = dict(
    type="poa_bench.Distill",
    teacher=dict(checkpoint=None),
    head=dict(
        _delete_=True,
        type="poa_bench.FeatureMatching",
        weights=dict(masked=0.0),  # one pass of each student
        normalised=True,
    ),
)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
