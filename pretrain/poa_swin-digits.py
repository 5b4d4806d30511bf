# POA on the embedded digits: all sizes of a small Swin supernet from one run. About ten minutes on 2 cores.
#   mim train poa_bench poa_swin-digits.py        or        python tools/train.py poa_swin-digits.py
_base_ = [
    "../configs/_base_/models/poa_swin_digits.py",
    "../configs/_base_/datasets/digits_pretrain.py",
    "../configs/_base_/schedules/poa_digits.py",
]
train_dataloader = dict(collate_fn=dict(grid=(4, 4), mask_ratio=(0.1, 0.3)))
optim_wrapper = dict(optimizer=dict(lr=1.2e-2))  # 3e-3 at 64 pictures
