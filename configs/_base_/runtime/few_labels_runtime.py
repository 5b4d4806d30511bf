# Fine-tuning on few labels as SimCLRv2, iBOT and the paper do: from the first layer of a projection head of the
# pre-training on, learning rate for 512 pictures a batch. To set: the parts of both data sets and measurement.dataset.
_base_ = "./transfer_runtime.py"

model = dict(
    head=dict(type="poa_bench.FirstLayerClsHead", checkpoint="backbone.checkpoint", branch="backbone.branch"),
)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=1e-5))  # 5e-6 for 512 pictures
auto_scale_lr = dict(base_batch_size=1024)
measurement = dict(protocol="semi-supervised-official/2", split="val")
