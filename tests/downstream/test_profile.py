"""Multiply-accumulates against counts by hand, and what a profile measures."""

import time

import pytest
import timm
import torch
from timm.layers import Attention
from torch import nn

from poa_bench.downstream.profile import hardware_facts, peak_activation_bytes, profile_module, time_calls
from poa_bench.elastic.macs import count_call_macs, count_macs, count_parameters
from poa_bench.tasks import parse_protocol
from poa_bench.tasks.profile import TASK, ProfileProtocol
from poa_bench.tasks.session import size_facts
from tests.downstream.networks import tiny_supernet


def vit_macs(width: int, depth: int, tokens: int, patch: int) -> int:
    """By formula: patch embedding, then qkv, the two products of attention, projection and the MLP of each block."""
    block = tokens * width * width * (3 + 1 + 8) + 2 * tokens * tokens * width
    return (tokens - 1) * 3 * patch**2 * width + depth * block


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_layer_of_a_vit_s_by_hand(device):
    """197 tokens of width 384: 4 * 197 * 384 ** 2 for the projections, 2 * 197 ** 2 * 384 for the two products."""
    layer = Attention(384, num_heads=6).to(device)
    assert layer.fused_attn  # whose products other counters do not see
    assert count_call_macs(layer, torch.zeros(1, 197, 384, device=device)) == 116_195_328 + 29_805_312 == 146_000_640


def test_whole_networks_by_hand():
    with torch.device("meta"):
        vit = timm.create_model("vit_small_patch16_224", num_classes=0)
    assert count_macs(vit, 224) == vit_macs(384, 12, 197, 16)
    assert count_macs(vit, 224, batch_size=3) == 3 * vit_macs(384, 12, 197, 16)


def test_convolutions_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 12, 1, groups=4))
    assert count_macs(network, (10, 6)) == 5 * 3 * (8 * 27 + 12 * 2)
    with torch.device("meta"):
        resnet = timm.create_model("resnet50", num_classes=0)
    assert count_macs(resnet, 224) == 4_087_136_256  # the usual 4.1 G, without the classifier's 2 M


@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_every_size_costs_what_its_extracted_network_costs(family):
    net = tiny_supernet(family)
    for spec in net.space:
        measured = size_facts(net, spec, 64)
        extracted = net.extract(spec)
        assert measured["macs"] == count_macs(extracted, 64)
        assert measured["parameters"] == count_parameters(extracted) == sum(p.numel() for p in extracted.parameters())
        assert measured["tensors_total"] == len(extracted.state_dict())
    if family == "vit":
        assert size_facts(net, net.space.smallest, 32)["macs"] == vit_macs(16, 3, 17, 8)


def test_profile_has_all_metrics_and_grows_with_the_batch():
    net = tiny_supernet("vit")
    metrics, _ = profile_module(net.extract(net.space.intact), 32, ProfileProtocol((1, 16)))
    units = TASK.units(metrics)
    names = ["latency_p50_ms", "latency_p95_ms", "images_per_second", "memory_mb"]
    assert list(metrics) == list(units) == [f"{name}_batch{size}" for size in (1, 16) for name in names]
    assert all(value > 0 for value in metrics.values())
    assert list(units.values()) == 2 * ["ms", "ms", "images/s", "MB"]
    for size in (1, 16):
        assert metrics[f"latency_p50_ms_batch{size}"] <= metrics[f"latency_p95_ms_batch{size}"]
        expected = 1000 * size / metrics[f"latency_p50_ms_batch{size}"]
        assert metrics[f"images_per_second_batch{size}"] == pytest.approx(expected)
    assert 8 < metrics["memory_mb_batch16"] / metrics["memory_mb_batch1"] < 16  # something is held for any batch


def test_peak_memory_by_hand():
    def hold_three() -> None:
        first = torch.ones(1000)
        second = first + 1
        del first
        third = torch.cat([second, second])  # 4 kB + 8 kB at once
        del second, third

    assert peak_activation_bytes(hold_three, "cpu") == pytest.approx(12_000, abs=500)


def test_latency_is_that_of_the_call_and_warm_up_does_not_count():
    calls = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.2 if len(calls) <= ProfileProtocol.warm_up else 0.05)

    times = time_calls(call, "cpu", ProfileProtocol())
    assert len(times) == len(calls) - ProfileProtocol.warm_up >= ProfileProtocol.least_runs
    assert sum(times) >= ProfileProtocol.seconds and 0.05 <= min(times) < 0.2


def test_the_time_that_is_spent_is_part_of_the_name():
    short = ProfileProtocol((1, 8), seconds=0.25)
    assert short.name == "profile-b1-b8-s0.25/1" and parse_protocol(short.name) == short
    assert "or 0.25 s after 5 for warm-up" in short.description
    assert parse_protocol("profile-b1-b8-s1/1") == parse_protocol("profile-b1-b8/1") == ProfileProtocol((1, 8))
    times = time_calls(lambda: time.sleep(0.001), "cpu", short)
    assert len(times) > short.least_runs and 0.25 <= sum(times) < 0.5


def test_hardware_facts_name_the_machine():
    facts = hardware_facts("cpu", "bf16")
    assert facts["dtype"] == "bfloat16" and facts["threads"] == torch.get_num_threads()
    assert facts["device"].startswith("CPU ") and len(facts["device"]) > 6
