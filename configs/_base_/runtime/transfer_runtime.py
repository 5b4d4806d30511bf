# Fine-tuning on another data set as DeiT, iBOT and the paper do: AdamW without layer decay, learning rates for 512
# pictures a batch, 5 epochs of warm-up, 1,000 epochs, augmentation as on ImageNet. The weights themselves are tested.
# To set: the parts of both data sets, num_classes of head and data_preprocessor, learning rate, measurement.dataset.
_base_ = "./finetune_runtime.py"

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        _delete_=True,
        type="poa_bench.ClassifierImages",
        pipeline=_base_.train_pipeline[1:],  # without reading the file
    ),
)
val_dataloader = dict(
    dataset=dict(_delete_=True, type="poa_bench.ClassifierImages", pipeline=_base_.test_pipeline[1:]),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="Accuracy", topk=(1, 5)),
    dict(type="SingleLabelMetric", items=("recall",), average="macro"),  # the mean of the classes' recalls
]
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1000, val_interval=50)
param_scheduler = [dict(type="poa_bench.WarmupCosineLR", warmup=5 / 1000, eta_min=1e-6, by_epoch=False)]
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
custom_hooks = [dict(type="poa_bench.WholeCheckpointHook")]
auto_scale_lr = dict(enable=False, base_batch_size=512)
measurement = dict(
    protocol="transfer-official/1",
    split="test",
    metrics={"top1": "accuracy/top1", "top5": "accuracy/top5", "balanced_top1": "single-label/recall"},
)
