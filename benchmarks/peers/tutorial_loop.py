"""The basic loop of tutorials: PIL images, ToTensor, batches of 64, SGD, and a test after each epoch.

Usage: python tutorial_loop.py DATA ACCURACY MOST_EPOCHS. It ends when the test accuracy is reached, and prints a
line an epoch: its number, seconds since the first step, test accuracy.
"""

import sys
from time import perf_counter

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def train_epoch(model: nn.Module, loader: "DataLoader[object]", optimizer: torch.optim.Optimizer) -> None:
    """Go through the training images once, and print the loss now and then."""
    criterion, total = nn.CrossEntropyLoss(), 0.0
    model.train()
    for number, (images, labels) in enumerate(loader, start=1):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
        if number % 100 == 0:
            print(f"batch {number} of {len(loader)}, loss {total / 100:.4f}")
            total = 0.0


def test_accuracy(model: nn.Module, loader: "DataLoader[object]") -> float:
    """Measure the part of the test images that the model gets right."""
    correct = images_seen = 0
    model.eval()
    with torch.no_grad():
        for images, labels in loader:
            correct += int((model(images).argmax(1) == labels).sum().item())
            images_seen += len(labels)
    return correct / images_seen


def main(data: str, accuracy: float, most_epochs: int) -> None:
    """Train until the accuracy is reached."""
    torch.manual_seed(42)
    transform = transforms.Compose([transforms.ToTensor()])
    train = DataLoader(datasets.MNIST(data, train=True, transform=transform), batch_size=64, shuffle=True)
    test = DataLoader(datasets.MNIST(data, train=False, transform=transform), batch_size=1000)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    start = perf_counter()
    for epoch in range(most_epochs):
        train_epoch(model, train, optimizer)
        reached = test_accuracy(model, test)
        print(f"epoch {epoch} {perf_counter() - start:.3f} {reached:.4f}", flush=True)
        if reached >= accuracy:
            break


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
