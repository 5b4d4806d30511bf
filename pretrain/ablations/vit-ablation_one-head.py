# One projection head instead of four (Table 3): k-NN of ViT-S / B / L 76.2 / 80.7 / 82.2.
# Its prototypes are not published.
_base_ = "../poa_vit_imagenet.py"

model = dict(head=dict(prototypes=[65536]))
