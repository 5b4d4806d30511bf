# MAE on the embedded digits, 12 ViT sizes: the pixels of half of the patches from the others.
#   python tools/train.py mae_vit-digits.py
_base_ = [
    "../../configs/_base_/models/poa_vit_digits.py",
    "../../configs/_base_/datasets/digits_pretrain.py",
    "../../configs/_base_/schedules/distill_digits.py",
]
model = dict(
    type="poa_bench.MAE",
    mask_ratio=0.5,
    normalised=False,  # most patches are background: nothing but noise, were it normalised
    head=dict(_delete_=True, type="poa_bench.PixelDecoder", width=64, depth=1, heads=4),
)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
