# 42 candidate sizes instead of 143 (Table 19): k-NN of ViT-S / B / L 77.3 / 80.9 / 82.3.
_base_ = "../poa_vit_imagenet.py"

model = dict(backbone=dict(space=dict(widths=list(range(384, 1025, 128)), depths=list(range(12, 25, 2)))))
