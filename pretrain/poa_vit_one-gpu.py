# POA from ViT-Ti to ViT-S, 20 sizes of patch 16, on your own pictures of any size, on one GPU.
#   python tools/train.py poa_vit_one-gpu.py --cfg-options train_dataloader.dataset.path=data/mine/train
# The path may be all that configs/_base_/datasets/data_imagenet_pretrain.py says.
# Predicted for 200,000 pictures: 66.16 GiB (half with train_dataloader.batch_size=128), 6.4 h on an H100 or H200 and
# 20 h on an A100 if they reach 30 % of their rate (poa-bench predict-cost poa_vit_one-gpu.py --gpus 1 --images N).
# Other than in poa_vit_imagenet.py are sizes, heads (prototypes are clusters: far more than kinds of pictures
# do not help), batch and length, and that colours and blur are left to the GPU.
# Not tuned, and no run of it is published: compare with networks trained alone (model.variant=intact, see README.md).
_base_ = [
    "../configs/_base_/models/poa_vit_paper.py",
    "../configs/_base_/datasets/data_imagenet_pretrain.py",
    "../configs/_base_/schedules/poa_imagenet.py",
]
pipeline = _base_.train_dataloader.dataset.pipeline
pipeline[0].update(on_device=True)
train_dataloader = dict(batch_size=256, num_workers=14, dataset=dict(path="data/train", pipeline=pipeline))
model = dict(
    backbone=dict(space=dict(widths=[192, 256, 320, 384], depths=[8, 9, 10, 11, 12]), drop_path_rate=0.1),
    head=dict(prototypes=[2048, 4096, 8192]),
    compile_blocks=True,
)
train_cfg = dict(max_epochs=200)
