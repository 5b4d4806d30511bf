# The paper's Swin supernet: widths 96, 112, 128 (doubled per stage), stage 3 from 6 to 18 blocks, 39 sizes from Swin-T
# to Swin-B. Heads of 16 channels and sampling weights of 2 (the paper's text: 3) are what the official code has.
_base_ = "./poa_vit_paper.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="poa_bench.Supernet",
        space=dict(family="swin", widths=[96, 112, 128], depths=list(range(6, 19)), head_dim=16, s_w=2.0, s_d=2.0),
        image_size=224,
        window_size=7,
        drop_path_rate=0.2,  # linear, and drawn for each picture, as in the official code
        weight_init="torch",  # the official code calls no rule of its own
    ),
)
