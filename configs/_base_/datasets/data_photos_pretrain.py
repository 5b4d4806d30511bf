# Photographs of three sets, without their labels, at 96 px: the training parts of Caltech-101, of three breeds of pets
# and of a miniature of COCO (docs/photos.md). Crops of 96 and 48 px.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="poa_bench.ResumableSampler", shuffle=True),
    collate_fn=dict(type="poa_bench.collate_crops", grid=(6, 6)),
    dataset=dict(
        type="poa_bench.UnlabelledImages",
        sources=[
            dict(path="data/caltech101_s96.zip", folder="train"),
            dict(path="data/pets3_256", folder="images/train"),
            dict(
                path="data/coco_mini",
                folder="images",
                coco_file="data/coco_mini/annotations/instances_train_super12.json",
            ),
        ],
        pipeline=[
            dict(
                type="poa_bench.MultiCrop",
                global_size=96,
                local_size=48,
                local_count=2,
                global_scale=(0.5, 1.0),
                local_scale=(0.2, 0.5),
                photometric=dict(blur=(0.5, 0.1, 0.3), blur_sigma=(0.1, 1.0)),
            )
        ],
    ),
)
