# The embedded digit scenes for mmseg, at 64 px as for detection, where digits have the size of the pre-training's.
# Networks see windows of 32 px, as large as pictures of pre-training; predictions are compared at the full 128 px.
scale = (64, 64)
window = (32, 32)
sliding_test = dict(mode="slide", crop_size=window, stride=(16, 16))
# background covers five sixths of a scene: unweighted, the first hundreds of iterations predict nothing else
digit_weights = [0.1, *[1.0] * 10]
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="Resize", scale=scale),
    dict(type="RandomCrop", crop_size=window, cat_max_ratio=0.75),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=scale),
    # after Resize: the label map keeps its size, predictions are resized to it
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
# three scales and no flip: a mirrored digit is none
tta_model = dict(type="SegTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(side, side)) for side in (48, 64, 80)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="poa_bench.DigitsSegmentation", split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="poa_bench.DigitsSegmentation", split="val", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
custom_hooks = [dict(type="poa_bench.WholeCheckpointHook")]
auto_scale_lr = dict(enable=False, base_batch_size=16)
