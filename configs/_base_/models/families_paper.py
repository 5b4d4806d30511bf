# How the networks of each family are built, as in the paper's pre-training: `head_dim` and arguments of `Supernet`.
# A dense config overrides single entries, for example model.backbone.families.vit.patch_size=8.
families = dict(
    vit=dict(image_size=224, patch_size=16, head_dim=64, init_values=1e-5),
    swin=dict(image_size=224, window_size=7, head_dim=16),
    resnet=dict(),
)
