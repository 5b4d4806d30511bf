"""What detectors do with boxes and regions, by mmcv's names and arguments: NMS, soft-NMS, RoIAlign, focal loss."""

import torch
import torchvision
from torch import Tensor

from poa_bench.errors import InputError


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes (n, 4) that are kept, best first; `offset` is added to their widths and heights."""
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes.float(), scores.float(), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (arXiv 1704.04503): lower the scores of boxes that overlap a better one, drop those below `min_score`.

    Args:
        boxes, scores: (n, 4) and (n,).
        dets: (n, 5), whose first rows become the boxes that are kept and their lowered scores, best first.
        method: 0 drops overlaps from `iou_threshold` on (hard NMS), 1 lowers them by 1 - IoU, 2 all by a Gaussian of
            width `sigma`.

    Returns:
        The indices of the rows of `dets` that were filled.
    """
    scores, left = scores.clone(), torch.arange(len(boxes))
    wide = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: list[int] = []
    while len(left):
        best = left[scores[left].argmax()]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[best], scores[best]
        kept.append(int(best))
        left = left[left != best]
        overlap = torchvision.ops.box_iou(wide[best, None], wide[left])[0]
        lowered = torch.exp(-(overlap**2) / sigma) if method == 2 else (1 - overlap if method == 1 else 0 * overlap)
        scores[left] *= lowered if method == 2 else torch.where(overlap >= iou_threshold, lowered, 1.0)
        left = left[scores[left] >= min_score]
    return torch.tensor(kept, dtype=torch.long)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign of maps (B, C, H, W) for rois (n, 5) into `output` (n, C, aligned_height, aligned_width).

    Maps of any layout in memory are right. mmcv's compiled operator reads maps that are not contiguous as if they were,
    and says nothing (mmcv issue 2203).
    """
    _refuse_max_pooling(pool_mode)
    maps, rois = _in_kernel_precision(input), _in_kernel_precision(rois)
    size = (aligned_height, aligned_width)
    output.copy_(torchvision.ops.roi_align(maps, rois.to(maps.dtype), size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of `roi_align_forward` with respect to its maps, into `grad_input` (B, C, H, W)."""
    _refuse_max_pooling(pool_mode)
    gradient, rois = _in_kernel_precision(grad_output), _in_kernel_precision(rois)
    size = (aligned_height, aligned_width)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            gradient, rois.to(gradient.dtype), spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned
        )
    )


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (arXiv 1708.02002) of logits (n, classes) into `output`; a target beyond the classes is background."""
    output.copy_(_focal_loss(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """The derivative of each loss with respect to its logit, into `grad_input` (n, classes)."""
    with torch.enable_grad():
        logits = input.detach().requires_grad_()
        loss = _focal_loss(logits, target, weight, gamma, alpha).sum()
    grad_input.copy_(torch.autograd.grad(loss, logits)[0])


def _focal_loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = logits.shape[1]
    one_hot = torch.nn.functional.one_hot(target, classes + 1)[:, :classes].to(logits.dtype)
    loss = torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha, gamma)
    if weight.numel():  # of the target's class; background has none
        loss = loss * torch.cat([weight, weight.new_ones(1)])[target][:, None]
    return loss


def _refuse_max_pooling(pool_mode: int) -> None:
    if pool_mode != 1:
        raise InputError(
            "RoIAlign with pool_mode 'max' is not among torchvision's operators: use 'avg', or compile mmcv's own with "
            "`make setup MMCV_OPS=compiled`"
        )


def _in_kernel_precision(tensor: Tensor) -> Tensor:
    """float32 where torchvision has no kernel: half precisions on a CPU, bfloat16 everywhere."""
    half = tensor.dtype == torch.bfloat16 or (tensor.dtype == torch.float16 and not tensor.is_cuda)
    return tensor.float() if half else tensor
