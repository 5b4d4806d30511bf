# As distill_vit_cifar10.py, by similarities to a queue (SEED): what the teacher's own head says of a picture.
_base_ = "./distill_vit_cifar10.py"

model = dict(
    teacher=dict(feature="head"),
    head=dict(_delete_=True, type="poa_bench.QueueSimilarity", entries=16384, hidden_features=256),
)
