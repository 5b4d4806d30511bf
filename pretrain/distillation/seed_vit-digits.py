# As distill_vit-digits.py, by similarities to a queue (SEED): what the teacher's own head says of a picture.
_base_ = "./distill_vit-digits.py"

model = dict(
    teacher=dict(feature="head"),
    head=dict(
        _delete_=True,
        type="poa_bench.QueueSimilarity",
        entries=4096,  # there are 4,300 pictures
        hidden_features=256,
    ),
)
