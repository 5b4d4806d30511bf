# ImageNet-1K with SimCLR's list of 10 % of the labels (10percent.txt, one file name a line).
_base_ = "./evaluation_imagenet-1percent.py"
evaluation = dict(name="imagenet-10percent", train=dict(ann_file="data/imagenet/10percent.txt"))
