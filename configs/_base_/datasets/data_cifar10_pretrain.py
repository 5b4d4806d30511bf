# CIFAR-10 as one .npz of JPEGs: an example of small pictures of your own. Crops of 32 and 16 px, patch 8.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="poa_bench.ResumableSampler", shuffle=True),
    collate_fn=dict(type="poa_bench.collate_crops", grid=(4, 4)),
    dataset=dict(
        type="poa_bench.Images",
        path="data/cifar10_jpeg_full.npz",
        split="train",
        pipeline=[
            dict(
                type="poa_bench.MultiCrop",
                global_size=32,
                local_size=16,
                local_count=2,
                global_scale=(0.5, 1.0),
                local_scale=(0.2, 0.5),
                # 32 px leave nothing to blur
                photometric=dict(blur=(0.0, 0.0, 0.0)),
            )
        ],
    ),
)
