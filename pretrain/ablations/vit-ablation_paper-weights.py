# Loss terms weighed as in the text, global:local and ES1:ES2 1:1; the official code has 2:16 and 1:2.
_base_ = "../poa_vit_imagenet.py"

model = dict(loss_weights=dict(weighting="paper"))
