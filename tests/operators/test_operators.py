"""mmcv's operators made of torchvision's, called as mmcv and mmdet call them."""

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from poa_bench import doctor, operators
from poa_bench.errors import InputError
from poa_bench.operators import mmcv_ext

ops = pytest.importorskip("mmcv.ops")


def overlap(a: list[float], b: list[float], offset: int) -> float:
    """Intersection over union, from its definition."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return both / (sum(areas) - both)


def boxes_and_scores(count: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    corners = 40 * torch.rand(count, 2, generator=generator)
    sizes = 4 + 20 * torch.rand(count, 2, generator=generator)
    return torch.cat([corners, corners + sizes], 1), torch.rand(count, generator=generator)


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_keeps_what_no_better_box_covers(offset):
    boxes, scores = boxes_and_scores()
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[index].tolist(), boxes[other].tolist(), offset) <= 0.4 for other in kept):
            kept.append(index)
    detections, found = ops.nms(boxes, scores, 0.4, offset=offset)
    assert found.tolist() == kept and len(kept) < 60
    assert torch.equal(detections, torch.cat([boxes, scores[:, None]], 1)[kept])


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("offset", [0, 1])
def test_soft_nms_lowers_scores_by_its_definition(method, offset):
    boxes, scores = boxes_and_scores()
    left, kept = dict(enumerate(scores.tolist())), []
    while left:
        best = max(left, key=left.__getitem__)
        kept.append((best, left.pop(best)))
        for other in list(left):
            covered = overlap(boxes[best].tolist(), boxes[other].tolist(), offset)
            hard = {"naive": 0.0, "linear": 1 - covered}.get(method, 1.0) if covered >= 0.3 else 1.0
            left[other] *= float(torch.tensor(-(covered**2) / 0.5).exp()) if method == "gaussian" else hard
            if left[other] < 0.05:
                del left[other]
    detections, found = ops.soft_nms(boxes, scores, 0.3, sigma=0.5, min_score=0.05, method=method, offset=offset)
    assert found.tolist() == [index for index, _ in kept]
    torch.testing.assert_close(detections[:, 4], torch.tensor([score for _, score in kept]), rtol=1e-4, atol=1e-6)
    assert torch.equal(detections[:, :4], boxes[found])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_roi_align_of_a_plane_is_the_plane_at_the_centres(layout, dtype):
    """Bilinear sampling of x + 10 y is exact, and so is the mean of samples that are symmetric about a centre."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    maps = torch.stack([columns, 10 * rows, columns + 10 * rows])[None].to(dtype).contiguous(memory_format=layout)
    regions = torch.tensor([[0, 8.0, 16.0, 40.0, 48.0]])
    found = ops.RoIAlign((4, 4), spatial_scale=0.25, sampling_ratio=2)(maps, regions)
    # the region is 2..10 by 4..12 in the map, its bins are 2 wide; pixel i has its centre at i + 0.5
    x, y = torch.arange(4.0) * 2 + 3 - 0.5, torch.arange(4.0) * 2 + 5 - 0.5
    expected = torch.stack([x.expand(4, 4), 10 * y[:, None].expand(4, 4), x + 10 * y[:, None]])[None]
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_of_roi_align_is_that_of_finite_differences(layout):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 2, 6, 5, dtype=torch.double, generator=generator).contiguous(memory_format=layout)
    regions = torch.tensor([[0, 1.0, 2.0, 9.0, 10.0], [1, 0.0, 0.0, 6.0, 11.0]], dtype=torch.double)
    align = ops.RoIAlign((2, 3), spatial_scale=0.5, sampling_ratio=0)
    assert torch.autograd.gradcheck(lambda maps: align(maps, regions), maps.requires_grad_())


@pytest.mark.parametrize("weighted", [False, True])
def test_focal_loss_and_its_gradient_follow_the_formula(weighted):
    logits = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 3, 0, 1])  # 3: background
    weight = torch.tensor([0.5, 1.0, 2.0]) if weighted else None
    expected = torch.zeros(())
    for row, class_ in enumerate(target.tolist()):
        for column in range(3):
            p = logits[row, column].sigmoid()
            yes = column == class_
            term = -0.25 * (1 - p) ** 2 * p.log() if yes else -0.75 * p**2 * (1 - p).log()
            expected = expected + term * (weight[class_] if weighted and class_ < 3 else 1.0)
    found = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, "sum")
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (found, expected))
    torch.testing.assert_close(ours, theirs)


def convolution_inputs(groups: int, dtype=torch.float32, size=(2, 4, 9, 8)) -> list[torch.Tensor]:
    """Image, weight, bias, and for 3x3 kernels with stride (2, 1): offsets that are zero, and a mask."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = (size[2] - 1) // 2 + 1, size[3]
    image = torch.randn(size, generator=generator, dtype=dtype)
    weight = torch.randn(6, size[1] // groups, 3, 3, generator=generator, dtype=dtype)
    bias = torch.randn(6, generator=generator, dtype=dtype)
    offset = torch.zeros(size[0], 18, rows, columns, dtype=dtype)
    return [image, weight, bias, offset, torch.full((size[0], 9, rows, columns), 0.5, dtype=dtype)]


@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolutions_without_offsets_are_convolutions(groups):
    image, weight, bias, offset, mask = convolution_inputs(groups)
    expected = F.conv2d(image, weight, None, (2, 1), 1, 1, groups)
    torch.testing.assert_close(ops.deform_conv2d(image, offset, weight, (2, 1), 1, 1, groups, 1), expected)
    modulated = ops.modulated_deform_conv2d(image, offset, mask, weight, bias, (2, 1), 1, 1, groups, 1)
    torch.testing.assert_close(modulated, 0.5 * expected + bias[:, None, None])


def test_offsets_are_rows_then_columns():
    image, weight, _, offset, _ = convolution_inputs(1)
    padded = F.pad(image, (1, 1, 1, 1))
    offset[:, 1::2] = 1.0  # one pixel to the right; beyond the image all is zero
    expected = F.conv2d(F.pad(padded, (0, 1))[..., 1:], weight, None, (2, 1))
    torch.testing.assert_close(ops.deform_conv2d(padded, offset, weight, (2, 1), 0, 1, 1, 1), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_deformable_convolutions_are_those_of_finite_differences(groups):
    image, weight, bias, offset, mask = convolution_inputs(groups, torch.double, size=(1, 2, 3, 3))
    # between the pixels, where bilinear sampling has a derivative
    offset.uniform_(0.2, 0.8, generator=torch.Generator().manual_seed(1))
    geometry = ((2, 1), 1, 1, groups, 1)
    leaves = [tensor.requires_grad_() for tensor in (image, offset, mask, weight, bias)]
    assert torch.autograd.gradcheck(lambda *inputs: ops.modulated_deform_conv2d(*inputs, *geometry), leaves)
    plain = [image, offset, weight]
    assert torch.autograd.gradcheck(lambda *inputs: ops.deform_conv2d(*inputs, *geometry), plain)


def test_an_operator_that_torchvision_lacks_says_so_when_it_is_called():
    with pytest.raises(InputError, match="operator 'nms_rotated' is not among .*make setup MMCV_OPS=compiled"):
        ops.nms_rotated(torch.rand(2, 5), torch.rand(2), 0.5)
    with pytest.raises(InputError, match="pool_mode 'max'"):
        ops.RoIAlign(2, pool_mode="max")(torch.rand(1, 1, 4, 4), torch.tensor([[0, 0.0, 0.0, 3.0, 3.0]]))


def run_elsewhere(program: str, folder: Path, **environment: str) -> str:
    """What a Python prints that was started in another folder and was told of nothing."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, env=clean | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mmdet_finds_them_without_importing_this_package(tmp_path):
    program = "import mmdet.models, mmcv._ext as ext, sys; print(ext.__file__)"
    assert Path(run_elsewhere(program, tmp_path).strip()).name == Path(mmcv_ext.__file__).name


def test_a_compiled_module_wins(tmp_path):
    """Python asks its own finders first."""
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").touch()
    (tmp_path / "mmcv/_ext.py").write_text("compiled = True\n")
    program = "import poa_bench, mmcv._ext as ext; print(ext.compiled)"
    assert run_elsewhere(program, tmp_path, PYTHONPATH=str(tmp_path)) == "True\n"


def test_installing_the_finder_twice_is_once():
    operators.install()
    assert sys.meta_path.count(operators) == 1
    assert operators.find_spec("mmcv") is None and operators.find_spec("mmcv._ext").origin == mmcv_ext.__file__


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """mmcv's own operators: the compiled module of this environment, or one that is compiled for this test."""
    version = doctor.tested_versions()["onedl-mmcv"]
    found = PathFinder.find_spec("mmcv._ext", importlib.util.find_spec("mmcv").submodule_search_locations)
    if found is None:
        folder = tmp_path_factory.mktemp("compiled")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        subprocess.run([*pip, "ninja", "psutil", "packaging", "wheel", "setuptools>=80,<82"], check=True)
        environment = os.environ | {"PYTHONPATH": str(folder), "CFLAGS": "-O1 -g0", "MAX_JOBS": str(os.cpu_count())}
        options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", f"onedl-mmcv=={version}"]
        subprocess.run([*pip, *options], check=True, env=environment)
        found = PathFinder.find_spec("mmcv._ext", [str(folder / "mmcv")])
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def both(compiled, function, *arguments):
    """What `function` gives with torchvision's operators and with the compiled ones."""
    results = []
    for module in (mmcv_ext, compiled):
        with pytest.MonkeyPatch.context() as patch:
            for name in ("nms", "roi_align", "deform_conv", "modulated_deform_conv"):
                patch.setattr(sys.modules[f"mmcv.ops.{name}"], "ext_module", module)
            results.append(function(*arguments))
    return results


@pytest.mark.slow
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_is_bit_equal_to_the_compiled_one(compiled, sampling_ratio, aligned):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, 20, 24, generator=generator).requires_grad_()
    corners = 60 * torch.rand(30, 2, generator=generator)
    sizes = 40 * torch.rand(30, 2, generator=generator)
    regions = torch.cat([torch.arange(30.0)[:, None] % 2, corners, corners + sizes], 1)
    align = ops.RoIAlign((7, 5), 0.25, sampling_ratio, aligned=aligned)

    def value_and_gradient():
        value = align(maps, regions)
        return value, torch.autograd.grad((value**2).sum(), maps)[0]

    ours, theirs = both(compiled, value_and_gradient)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    channels_last = maps.contiguous(memory_format=torch.channels_last)
    ours, theirs = both(compiled, align, channels_last, regions)
    assert torch.equal(ours, align(maps, regions))
    assert (ours - theirs).abs().max() > 1  # mmcv issue 2203, the reason for `contiguous_maps`


@pytest.mark.slow
def test_nms_and_deformable_convolutions_equal_the_compiled_ones(compiled):
    boxes, scores = boxes_and_scores(300)
    for offset in (0, 1):
        ours, theirs = both(compiled, lambda offset=offset: ops.nms(boxes, scores, 0.5, offset))
        assert torch.equal(ours[1], theirs[1])
        for method in ("naive", "linear", "gaussian"):
            ours, theirs = both(compiled, lambda o=offset, m=method: ops.soft_nms(boxes, scores, 0.3, 0.5, 0.05, m, o))
            assert torch.equal(ours[1], theirs[1])
            torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-6)
    image, weight, bias, offset, mask = convolution_inputs(2)
    offset.uniform_(-2, 2, generator=torch.Generator().manual_seed(1))
    leaves = [tensor.requires_grad_() for tensor in (image, offset, mask, weight, bias)]

    def value_and_gradients(function, inputs):
        value = function(*inputs, (2, 1), 1, 1, 2, 1)
        return value, *torch.autograd.grad((value**2).sum(), inputs)

    for function, inputs in (
        (ops.modulated_deform_conv2d, leaves),
        (ops.deform_conv2d, [image, offset, weight]),
    ):
        for a, b in zip(*both(compiled, value_and_gradients, function, inputs), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
