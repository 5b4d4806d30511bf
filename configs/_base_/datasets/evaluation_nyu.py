# NYU Depth v2 for the depth task: pictures and 16-bit maps in millimetres, as BTS and its successors lay them out.
# Depths up to 10 m count, in the 654 test pictures inside Eigen's crop alone. A tenth of train is held out to choose
# penalties.
_data = dict(type="poa_bench.DepthMaps", scale=1000.0, maximum=10.0)
evaluation = dict(
    name="nyu",
    truth="depth_maps",
    train=dict(ann_file="data/nyu/nyudepthv2_train_files_with_gt.txt", data_root="data/nyu/sync", **_data),
    test=dict(
        ann_file="data/nyu/nyudepthv2_test_files_with_gt.txt",
        data_root="data/nyu/official_splits/test",
        crop=(45, 471, 41, 601),
        **_data,
    ),
    workers=8,
)
