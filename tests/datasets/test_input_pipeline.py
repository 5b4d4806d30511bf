"""The benchmark compares like with like: the same views by all ways."""

from benchmarks.input_pipeline import device_milliseconds, made_jpegs, our_pipeline, pil_pipeline, rates


def test_all_ways_cut_the_same_views():
    jpegs = made_jpegs(2)
    ways = {"pil": pil_pipeline(32, 16), "worker": our_pipeline(32, 16, False), "device": our_pipeline(32, 16, True)}
    plain = ways["pil"](jpegs[0])
    for name in ("worker", "device"):
        ours = ways[name](jpegs[0])
        assert [view.shape for view in (*ours["global_crops"], *ours["local_crops"])] == [view.shape for view in plain]
    found = rates(ways, jpegs, rounds=1)
    assert found.keys() == ways.keys() and all(values[0] > 0 for values in found.values())
    assert device_milliseconds(ways["device"], jpegs, "cpu") > 0
