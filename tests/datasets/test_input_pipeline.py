"""The benchmark compares like with like: the same views by all ways."""

from benchmarks.input_pipeline import device_milliseconds, made_jpegs, our_pipeline, pil_pipeline, rates


def test_all_ways_cut_the_same_views():
    jpegs = made_jpegs(2)
    ways = {"pil": pil_pipeline(32, 16), "worker": our_pipeline(32, 16, False), "device": our_pipeline(32, 16, True)}
    plain = ways["pil"](jpegs)
    for name in ("worker", "device"):
        ours = ways[name](jpegs)
        views = [*ours["global_crops"].split(2), *ours["local_crops"].split(2)]
        assert [view.shape for view in views] == [view.shape for view in plain]
    found = rates(ways, jpegs, rounds=1)
    assert found.keys() == ways.keys() and all(values[0] > 0 for values in found.values())
    assert device_milliseconds(ways["device"], jpegs, "cpu") > 0
