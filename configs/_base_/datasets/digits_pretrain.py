# The embedded digits for pre-training: two views of 32 px and two of 16 px each.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="poa_bench.ResumableSampler", shuffle=True),
    collate_fn=dict(type="poa_bench.collate_crops", grid=(4, 4), mask_ratio=(0.1, 0.5)),
    dataset=dict(
        type="poa_bench.DigitsClassification",
        split="train",
        pipeline=[
            dict(
                type="poa_bench.MultiCrop",
                global_size=32,
                local_size=16,
                local_count=2,
                global_scale=(0.75, 1.0),
                local_scale=(0.4, 0.7),
                flip=0.0,
                photometric=dict(
                    brightness=0.6,
                    contrast=0.6,
                    jitter=1.0,
                    greyscale=1.0,  # what two views share is the shape, not the colour
                    blur=(0.0, 0.0, 0.0),
                    solarise=(0.0, 0.0, 0.0),
                ),
            )
        ],
    ),
)
