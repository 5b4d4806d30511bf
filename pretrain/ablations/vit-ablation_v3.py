# POA and an elastic teacher beside the intact one for the elastic student (variant V3, Table 5):
# k-NN of ViT-S / B / L 76.9 / 81.0 / 82.3.
_base_ = "../poa_vit_imagenet.py"

model = dict(variant="v3")
