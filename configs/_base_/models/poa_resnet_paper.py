# The paper's ResNet supernet: mid channels 64, 96, 128, stage 2 from 4 to 8 and stage 3 from 6 to 36 blocks, 465 sizes
# from ResNet-50 to a ResNet-152 with wider middle layers; GroupNorm. Only depth is drawn with weight 2 (official
# code; the paper's text: 3 for both).
_base_ = "./poa_vit_paper.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="poa_bench.Supernet",
        space=dict(
            family="resnet",
            widths=[64, 96, 128],
            depths=[list(range(4, 9)), list(range(6, 37))],
            s_w=1.0,
            s_d=2.0,
        ),
        weight_init="torch",  # no zeros in the last norms: the official code does not call its own rule
    ),
)
