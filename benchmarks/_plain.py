"""The peer: VGG16 and VGG_CNN_M_1024 as one would write them in plain PyTorch, autograd and torch.optim, no runtime.

The one thing borrowed is the RoI pooling kernel, which PyTorch lacks (torchvision is not a requirement); it is wrapped
in an autograd.Function.  Mining is vectorised numpy, the read-only pass runs under no_grad.
"""
import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from caffe.kernels.roi.roi_pooling import roi_pooling_backward, roi_pooling_forward

# ("conv", outputs, kernel, stride, pad, learns), ("pool", kernel, stride), ("lrn",); a ReLU follows every convolution
TRUNKS = {
    "VGG16": [("conv", 64, 3, 1, 1, False)] * 2 + [("pool", 2, 2)]
    + [("conv", 128, 3, 1, 1, False)] * 2 + [("pool", 2, 2)]
    + [("conv", 256, 3, 1, 1, True)] * 3 + [("pool", 2, 2)]
    + [("conv", 512, 3, 1, 1, True)] * 3 + [("pool", 2, 2)]
    + [("conv", 512, 3, 1, 1, True)] * 3,
    "VGG_CNN_M_1024": [("conv", 96, 7, 2, 0, False), ("lrn",), ("pool", 3, 2),
                       ("conv", 256, 5, 2, 1, True), ("lrn",), ("pool", 3, 2)]
    + [("conv", 512, 3, 1, 1, True)] * 3,
}
POOLED = {"VGG16": 7, "VGG_CNN_M_1024": 6}


def random_params(name):
    """(weight, bias) tensors for PlainNet, small and random."""
    convolutions, inputs = [numbers for kind, *numbers in TRUNKS[name] if kind == "conv"], 3
    shapes = []
    for outputs, kernel, *_ in convolutions:
        shapes.append((outputs, inputs, kernel, kernel))
        inputs = outputs
    fc7 = {"VGG16": 4096, "VGG_CNN_M_1024": 1024}[name]
    shapes += [(4096, inputs * POOLED[name] ** 2), (fc7, 4096), (21, fc7), (84, fc7)]
    return [(torch.randn(shape).mul_(math.sqrt(2 / math.prod(shape[1:]))), torch.zeros(shape[0])) for shape in shapes]


class RoIPool(torch.autograd.Function):
    """features (N, C, H, W), rois (R, 5) -> (R, C, size, size); stride 16."""

    @staticmethod
    def forward(ctx, features, rois, size):
        needs = ctx.needs_input_grad[0]
        top, argmax = roi_pooling_forward(features, rois, size, size, 1 / 16, needs)
        if needs:
            ctx.save_for_backward(rois, argmax)
            ctx.shape = features.shape
        return top

    @staticmethod
    def backward(ctx, diff):
        rois, argmax = ctx.saved_tensors
        return roi_pooling_backward(diff.contiguous(), rois, argmax, ctx.shape, 1 / 16), None, None


def trunk(spec, params, x):
    """x (N, 3, H, W) through the layers of a TRUNKS entry with the (weight, bias) pairs params."""
    params = iter(params)
    for kind, *numbers in spec:
        if kind == "conv":
            _outputs, _kernel, stride, pad, _learns = numbers
            x = F.relu_(F.conv2d(x, *next(params), stride=stride, padding=pad))
        elif kind == "pool":
            x = F.max_pool2d(x, *numbers, ceil_mode=True)
        else:
            x = F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)
    return x


class PlainNet:
    """name: a key of TRUNKS; params: (weight, bias) tensors of the convolutions, fc6, fc7, cls_score, bbox_pred.

    train: dropout, and gradients for what learns.
    """

    def __init__(self, name, params, train=True, device="cpu"):
        self.trunk_spec, self.size, self.train = TRUNKS[name], POOLED[name], train
        self.params = [(w.clone().to(device), b.clone().to(device)) for w, b in params]
        learns = [spec[5] for spec in self.trunk_spec if spec[0] == "conv"] + [True] * 4
        self.learned = [pair for pair, learn in zip(self.params, learns) if learn and train]
        for weight, bias in self.learned:
            weight.requires_grad_(), bias.requires_grad_()

    def trunk(self, x):
        """(N, 3, H, W) -> (N, 512, H / 16, W / 16)."""
        return trunk(self.trunk_spec, self.params, x)

    def head(self, features, rois):
        """cls_score (R, 21) and bbox_pred (R, 84)."""
        x = RoIPool.apply(features.float(), rois, self.size).flatten(1)
        fc6, fc7, cls_score, bbox_pred = self.params[-4:]
        for layer in (fc6, fc7):
            x = F.dropout(F.relu_(F.linear(x, *layer)), 0.5, self.train)
        return F.linear(x, *cls_score), F.linear(x, *bbox_pred)

    def optimizer(self, rate):
        """The solver's rule: momentum .9, weight decay .0005 on weights, twice the rate for biases."""
        return torch.optim.SGD([{"params": [w for w, _ in self.learned], "lr": rate, "weight_decay": 5e-4},
                                {"params": [b for _, b in self.learned], "lr": 2 * rate}], momentum=0.9)


def training_step(net, optimizer, blobs, mine=None, bf16=False):
    """One iteration on the minibatch `blobs` (tensors); with mine(probs, boxes) -> rows, on those rows only."""
    with torch.autocast(blobs["data"].device.type, torch.bfloat16) if bf16 else nullcontext():
        features = net.trunk(blobs["data"])
        if mine is not None:
            with torch.no_grad():
                cls_score, bbox_pred = net.head(features, blobs["rois"])
                rows = mine(F.softmax(cls_score.float(), 1), bbox_pred.float())
            blobs = {name: blob if name == "data" else blob[rows] for name, blob in blobs.items()}
        cls_score, bbox_pred = net.head(features, blobs["rois"])
    loss = detection_loss(cls_score.float(), bbox_pred.float(), blobs)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def detection_loss(cls_score, bbox_pred, blobs):
    """Softmax loss plus smooth L1 loss, both summed and divided by the number of RoIs."""
    inside, outside = blobs["bbox_inside_weights"], blobs["bbox_outside_weights"]
    terms = F.smooth_l1_loss(inside * bbox_pred, inside * blobs["bbox_targets"], reduction="none")
    return F.cross_entropy(cls_score, blobs["labels"].long()) + (outside * terms).sum() / len(cls_score)
