"""ResNet-18 in plain PyTorch as a good engineer writes it: channels last, autocast, fused SGD, loading in processes.

Usage: python plain_resnet.py ROOT SIDE BATCH STEPS PRECISION WORKERS. ROOT is a folder with CIFAR-10 if SIDE is 32, and
one of images/<class>/*.jpg otherwise. It prints the images/s of the second of two epochs of so many steps.
"""

import sys
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler
from torchvision import datasets, models
from torchvision.transforms import v2

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def loader(root: str, side: int, batch: int, steps: int, workers: int) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Read images, change them at random and normalize them, in worker processes."""
    moved = [v2.RandomCrop(32, padding=4)] if side == 32 else [v2.RandomResizedCrop(side, (0.35, 1))]
    scaled = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    transform = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(), *moved, *scaled])
    data = datasets.CIFAR10(root, transform=transform) if side == 32 else datasets.ImageFolder(root, transform)
    some = RandomSampler(data, num_samples=steps * batch)
    kept = {"persistent_workers": True, "pin_memory": DEVICE == "cuda"} if workers else {}
    return DataLoader(data, batch, sampler=some, drop_last=True, num_workers=workers, **kept)  # type: ignore[arg-type]  # bools


def main(root: str, side: int, batch: int, steps: int, precision: str, workers: int) -> None:
    """Train two epochs."""
    torch.manual_seed(42)
    network = models.resnet18(num_classes=10)
    if side == 32:
        network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    network = network.to(DEVICE).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=2 * steps)
    batches = loader(root, side, batch, steps, workers)
    for _ in range(2):
        start, correct, total_loss = perf_counter(), torch.zeros((), device=DEVICE), torch.zeros((), device=DEVICE)
        for images, labels in batches:
            images = images.to(DEVICE, non_blocking=True, memory_format=torch.channels_last)  # noqa: PLW2901  # the same
            labels = labels.to(DEVICE, non_blocking=True)  # noqa: PLW2901  # the same
            with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16-mixed"):
                logits = network(images)
                loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.detach()
            correct += (logits.argmax(1) == labels).sum()
        print(f"loss {total_loss.item() / steps:.4f} accuracy {correct.item() / steps / batch:.4f}", end=" ")
        print(f"images/s {steps * batch / (perf_counter() - start):.2f}", flush=True)


if __name__ == "__main__":
    side, batch, steps, workers = (int(sys.argv[i]) for i in (2, 3, 4, 6))
    main(sys.argv[1], side, batch, steps, sys.argv[5], workers)
