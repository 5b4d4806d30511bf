# Cosine to 1e-6 over `max_epochs` with 5 epochs of warm-up; another length: override both uses of it.
_base_ = "./adamw_layer_decay.py"

max_epochs = 200
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=5,
        end=max_epochs,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
