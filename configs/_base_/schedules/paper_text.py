# What the paper's text says of all families where the official code ran with other values: for ablations, each of which
# takes these parts, since they change what its own base says.
paper_text = dict(
    loss_weights=dict(weighting="paper"),
    photometric=dict(blur=(1.0, 0.1, 0.5)),
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=0.9, clip_apart=False)),
    # the whole cosines after 10 epochs of warm-up
    warmup=dict(end=10),
    cosine=dict(begin=10, cut=1.0),
    weight_decay=dict(cut=1.0),
    default_hooks=dict(
        learning_rate_scale=dict(rule="linear"),
        subnet=dict(mode="step"),
        teacher_momentum=dict(cut=1.0),
    ),
)
