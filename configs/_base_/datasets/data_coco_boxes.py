# Boxes of your own in COCO's format (docs/your-data.md): pictures resized within `scale`, flipped.
# To set: data_root, ann_file, data_prefix and metainfo=dict(classes=...) of each data set, ann_file of the evaluators,
# num_classes of the heads. Labels follow the names in `classes`.
scale = (1333, 800)  # another one: see the page
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="poa_bench.NamedCocoDataset",
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="poa_bench.NamedCocoDataset", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="poa_bench.NamedCocoMetric", metric="bbox")
test_evaluator = val_evaluator
custom_hooks = [dict(type="poa_bench.ClassNamesHook"), dict(type="poa_bench.WholeCheckpointHook")]
