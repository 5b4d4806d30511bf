# POA on the embedded digits: 12 ViT sizes from one run. A few minutes on 2 cores.
#   mim train poa_bench poa_vit-digits.py        or        python tools/train.py poa_vit-digits.py
_base_ = [
    "../configs/_base_/models/poa_vit_digits.py",
    "../configs/_base_/datasets/digits_pretrain.py",
    "../configs/_base_/schedules/poa_digits.py",
]
