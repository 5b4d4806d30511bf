# Caltech-101 photos read from their zip: an example of class folders in an archive. Crops of 96 and 48 px, patch 8.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="poa_bench.ResumableSampler", shuffle=True),
    collate_fn=dict(type="poa_bench.collate_crops", grid=(12, 12)),
    dataset=dict(
        type="poa_bench.Images",
        path="data/caltech101_s96.zip",
        folder="train",
        pipeline=[
            dict(
                type="poa_bench.MultiCrop",
                global_size=96,
                local_size=48,
                local_count=4,
                global_scale=(0.32, 1.0),
                local_scale=(0.08, 0.32),
                photometric=dict(blur=(0.5, 0.1, 0.3), blur_sigma=(0.1, 1.0)),
            )
        ],
    ),
)
