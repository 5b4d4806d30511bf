# The embedded digit scenes for mmdet. They are 128 px with digits of 32 to 56 px: at 64 px, digits are about as large
# as in the 32 px pictures of pre-training, and a ViT with patch 8 sees 64 patches.
scale = (64, 64)
single_class = True  # find digits; to read them as well takes longer than a demo (then: num_classes=10 in the heads)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=scale),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=scale),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="poa_bench.DigitsDetection", single_class=single_class, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="poa_bench.DigitsDetection", single_class=single_class, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="poa_bench.DigitsCocoMetric", split="val", single_class=single_class, metric=["bbox", "segm"])
test_evaluator = val_evaluator
custom_hooks = [dict(type="poa_bench.WholeCheckpointHook")]
auto_scale_lr = dict(enable=False, base_batch_size=4)
