# ImageNet-1K for pre-training, 50 pictures per GPU (32 GPUs: 1600). The path may be
#   the folder of class folders            data/imagenet/train
#   the archive as it is downloaded        data/imagenet/ILSVRC2012_img_train.tar (a tar of tars; no unpacking)
#   a tar or zip of class folders          then folder='train' picks what is below train/
# and ann_file='train.txt' (lines `path label`) replaces the class folders as source of the labels.
train_dataloader = dict(
    batch_size=50,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="poa_bench.ResumableSampler", shuffle=True),
    # Swin and ResNet: mask_ratio=(0.1, 0.3)
    collate_fn=dict(type="poa_bench.collate_crops", grid=(14, 14), mask_probability=0.5, mask_ratio=(0.1, 0.5)),
    dataset=dict(
        type="poa_bench.Images",
        path="data/imagenet/train",
        broken_share=1e-4,  # a week of training does not end for one picture
        pipeline=[
            dict(
                type="poa_bench.MultiCrop",
                global_size=224,
                local_size=96,
                local_count=8,
                global_scale=(0.32, 1.0),
                local_scale=(0.05, 0.32),
                flip=0.5,
                # what the official code really does; the paper's table says blur=(1.0, 0.1, 0.5)
                photometric=dict(blur=(0.0, 0.9, 0.5), solarise=(0.0, 0.2, 0.0)),
                on_device=False,  # True: colours and blur on the GPU, for hosts with few cores
            )
        ],
    ),
)
