# Sliced weights without the factor alpha (Table 16): k-NN of ViT-S / B / L 75.3 / 80.8 / 82.3.
_base_ = "../poa_vit_imagenet.py"

model = dict(backbone=dict(alpha=False))
