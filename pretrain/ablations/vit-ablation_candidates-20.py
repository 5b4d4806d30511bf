# 20 candidate sizes instead of 143 (Table 19): k-NN of ViT-S / B / L 77.7 / 80.8 / 82.4.
# The widths are ours: steps of 192 do not end at 1024.
_base_ = "../poa_vit_imagenet.py"

model = dict(backbone=dict(space=dict(widths=[384, 576, 768, 1024], depths=[12, 15, 18, 21, 24])))
