# How the networks of the pre-training on photographs are built (pretrain/poa_vit_photos.py).
photos_families = dict(vit=dict(image_size=96, patch_size=16, head_dim=32, weight_init="jax", position_std=1.2))
