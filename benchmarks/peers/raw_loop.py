"""784-128-10 on MNIST in as few lines as its arithmetic takes, with loss and accuracy summed, and nothing else.

Usage: python raw_loop.py DATA EPOCHS. It trains as the benchmark of steps does, on one thread: batches of 64 in a new
order each epoch, SGD. It prints the seconds of each epoch per 1,000 steps, and the epoch's loss and accuracy.
"""

import sys
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import datasets

BATCH = 64


def main(data: str, epochs: int) -> None:
    """Train on nine tenths of the images."""
    torch.set_num_threads(1)
    torch.manual_seed(42)
    part = datasets.MNIST(data, train=True)
    size = len(part.data) * 9 // 10
    images, labels = part.data[:size].unsqueeze(1), part.targets[:size]
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for epoch in range(epochs):
        start, sums, steps = perf_counter(), torch.zeros(2), 0
        for rows in torch.randperm(size).split(BATCH):
            batch, targets = images[rows].float().mul_(1 / (255 * 0.3081)).sub_(0.1307 / 0.3081), labels[rows]
            logits = network(batch)
            loss = F.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            correct = (logits.argmax(1) == targets).sum()
            sums += torch.stack([loss.detach() * len(rows), correct])
            steps += 1
        seconds = perf_counter() - start
        loss_mean, accuracy = (sums / size).tolist()
        print(f"epoch {epoch} {1000 * seconds / steps} {loss_mean} {accuracy}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
