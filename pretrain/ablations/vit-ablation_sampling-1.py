# Smallest sizes drawn 1x as often as the largest per axis, not 3x (Table 18): k-NN of ViT-S / B / L 75.8 / 80.6 / 82.3.
_base_ = "../poa_vit_imagenet.py"

model = dict(backbone=dict(space=dict(s_w=1.0, s_d=1.0)))
