# Smallest sizes drawn 2x as often as the largest per axis, not 3x (Table 18): k-NN of ViT-S / B / L 76.5 / 80.7 / 82.3.
_base_ = "../poa_vit_imagenet.py"

model = dict(backbone=dict(space=dict(s_w=2.0, s_d=2.0)))
