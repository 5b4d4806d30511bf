# COCO with the multi-scale augmentation of DETR (480-800 x 1333 and crops), as in Swin, iBOT and POA.
# Data of your own in COCO's format: data_root, ann_file, data_prefix and metainfo=dict(classes=[...]) of all data sets,
# ann_file of the evaluators, num_classes of the heads. Labels follow the names in `classes`.
_base_ = "mmdet::_base_/datasets/coco_instance.py"

short_sides = [(side, 1333) for side in range(480, 801, 32)]
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True)],
            [
                dict(type="RandomChoiceResize", scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True),
                dict(
                    type="RandomCrop",
                    crop_type="absolute_range",
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True),
            ],
        ],
    ),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(type="poa_bench.NamedCocoDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="poa_bench.NamedCocoDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(type="poa_bench.NamedCocoMetric")
test_evaluator = val_evaluator
custom_hooks = [dict(type="poa_bench.ClassNamesHook"), dict(type="poa_bench.WholeCheckpointHook")]
