"""The record recipe for CIFAR-10 in plain PyTorch: network, Muon and constants as published.

After Jordan 2024 (arXiv:2404.00498) with the constants of his airbench94_muon. Usage: python record.py DATA SEED EPOCHS
CROPS, where DATA is a folder with CIFAR-10 or "random" for a few random images, and CROPS is 1 for a test with mirror
images or 3 for one with shifted images, too, as published. It prints the seconds of all steps, and the accuracy.
"""

import ctypes
import sys
from itertools import pairwise
from time import perf_counter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import CIFAR10

BATCH, WIDTHS, MEAN, STD = 2000, (64, 256, 256), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
MUON_LR, MUON_MOMENTUM, BIAS_LR, HEAD_LR, MOMENTUM, DECAY = 0.24, 0.6, 0.053, 0.67, 0.85, 2e-6 * BATCH
WHITENING_EPOCHS, SMOOTHING, SHIFT = 3, 0.2, 2
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOAT = torch.half if DEVICE == "cuda" else torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float


class Group(nn.Sequential):
    """Two convolutions that start as the identity, and pooling."""

    def __init__(self, in_channels: int, channels: int) -> None:
        convolutions = [nn.Conv2d(size, channels, 3, padding=1, bias=False) for size in (in_channels, channels)]
        norms = [nn.BatchNorm2d(channels, momentum=0.4, eps=1e-12) for _ in range(2)]
        for convolution, norm in zip(convolutions, norms, strict=True):
            nn.init.dirac_(convolution.weight.data[: convolution.in_channels])
            norm.weight.requires_grad = False
        first, second = convolutions
        super().__init__(first, nn.MaxPool2d(2), norms[0], nn.GELU(), second, norms[1], nn.GELU())


class Network(nn.Module):
    """Whitening, three groups and a head."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1).view(-1, 3 * 4)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + 5e-4).sqrt()).T.flip(0).view(-1, 3, 2, 2)
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight = nn.Parameter(torch.cat([filters, -filters]), requires_grad=False)
        self.whitening.bias = nn.Parameter(torch.zeros(24))
        self.groups = nn.Sequential(*(Group(*sizes) for sizes in pairwise((24, *WIDTHS))))
        self.head = nn.Linear(WIDTHS[-1], 10, bias=False)
        self.head.weight.data /= self.head.weight.data.std()

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, 3, 32, 32] to logits, [B, 10]."""
        x = self.groups(F.gelu(self.whitening(images)))
        logits: Tensor = self.head(F.max_pool2d(x, 3).flatten(1)) / WIDTHS[-1]
        return logits


class Muon(torch.optim.Optimizer):
    """Steps of filters with all singular values near 1; filters of a fixed norm."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": MUON_LR})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # none is given
        """Change every filter."""
        for parameter in self.param_groups[0]["params"]:
            gradient, state = parameter.grad, self.state[parameter]
            velocity = state.setdefault("velocity", torch.zeros_like(gradient))
            velocity.mul_(MUON_MOMENTUM).add_(gradient)
            gradient = gradient.add(velocity, alpha=MUON_MOMENTUM)
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
            update = orthogonal(gradient.flatten(1)).view_as(parameter)
            parameter.sub_(self.param_groups[0]["lr"] * update)


def orthogonal(matrix: Tensor) -> Tensor:
    """Run three iterations of Newton-Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = len(matrix) > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(FLOAT if FLOAT.itemsize == 4 else torch.bfloat16)
    x = x / (x.norm() + 1e-7)
    for _ in range(3):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result


def load(folder: str, train: bool) -> tuple[Tensor, Tensor]:
    """Return normalized images, [N, 3, 32, 32], and labels."""
    if folder == "random":
        images = torch.randint(256, (BATCH if train else 100, 3, 32, 32))
        labels = torch.arange(len(images)) % 10
    else:
        dataset = CIFAR10(folder, train, download=True)
        images, labels = torch.from_numpy(dataset.data).permute(0, 3, 1, 2), torch.tensor(dataset.targets)
    images = images.to(DEVICE).float() / 255
    mean, std = (torch.tensor(values, device=DEVICE).view(3, 1, 1) for values in (MEAN, STD))
    return ((images - mean) / std).to(FLOAT, memory_format=torch.channels_last), labels.to(DEVICE)


def shifted(images: Tensor) -> Tensor:
    """Move each image by up to two pixels, the border reflected."""
    padded = F.pad(images, (SHIFT,) * 4, "reflect")
    result, moves = torch.empty_like(images), torch.randint(2 * SHIFT + 1, (2, len(images)), device=DEVICE)
    for y in range(2 * SHIFT + 1):
        for x in range(2 * SHIFT + 1):
            chosen = (moves[0] == y) & (moves[1] == x)
            result[chosen] = padded[chosen, :, y : y + 32, x : x + 32]
    return result


@torch.no_grad()
def accuracy(network: Network, images: Tensor, labels: Tensor, crops: int) -> float:
    """Test with mirror images and, of three crops, with images that are moved by a pixel, too."""

    def mirrored(part: Tensor) -> Tensor:
        return cast("Tensor", network(part) + network(part.flip(-1)))

    right = 0
    for part, truth in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        logits = mirrored(part)
        if crops > 1:
            padded = F.pad(part, (1,) * 4, "reflect")
            logits = logits + (mirrored(padded[:, :, :32, :32]) + mirrored(padded[:, :, 2:, 2:])) / 2
        right += int((logits.argmax(1) == truth).sum())
    return right / len(images)


def main(folder: str, seed: int, epochs: int, crops: int) -> None:
    """Train and test."""
    torch.manual_seed(seed)
    if DEVICE == "cpu" and sys.platform == "linux":  # as fast as it gets there: freed memory is kept
        for parameter in (-1, -2, -3):  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
            ctypes.CDLL(None).mallopt(parameter, 1 << 30)
    images, labels = load(folder, train=True)
    test = load(folder, train=False)
    network = Network(images[:5000].float().contiguous()).to(DEVICE, FLOAT).to(memory_format=torch.channels_last)
    norms = [module.float() for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    filters = [p for p in network.groups.parameters() if p.ndim == 4]
    bias = next(p for p in network.whitening.parameters() if p.ndim == 1)
    rates = [([bias], BIAS_LR), ([norm.bias for norm in norms], BIAS_LR), ([network.head.weight], HEAD_LR)]
    groups = [{"params": params, "lr": rate, "weight_decay": DECAY / rate} for params, rate in rates]
    optimizers = [torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True, fused=True), Muon(filters)]
    initial = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
    steps = len(images) // BATCH
    start = perf_counter()
    flipped = torch.rand(len(images), 1, 1, 1, device=DEVICE) < 0.5
    images = torch.where(flipped, images.flip(-1), images)
    for epoch in range(epochs):
        changed = shifted(images.flip(-1) if epoch % 2 else images)
        bias.requires_grad = epoch < WHITENING_EPOCHS
        for step, chosen in enumerate(torch.randperm(len(images), device=DEVICE).split(BATCH)[:steps], epoch * steps):
            for number, (group, rate) in enumerate(initial):
                group["lr"] = rate * max(0, 1 - step / ((epochs if number else WHITENING_EPOCHS) * steps))
            logits = network(changed[chosen])
            F.cross_entropy(logits, labels[chosen], label_smoothing=SMOOTHING, reduction="sum").backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    print(f"seconds {perf_counter() - start:.2f} accuracy {accuracy(network.eval(), *test, crops):.4f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
