"""Splits of labelled data."""

import torch
from torch import Tensor

from arc_light.data.batches import generator

PURPOSE = 2  # beside the order's 0 and the augmentation's 1


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Put `fraction` of each class aside, at least one and never all images of a class that has two.

    Returns:
        Indices of the larger and of the smaller part, int64, each in ascending order.
    """
    aside = torch.zeros(len(labels), dtype=torch.bool)
    random = generator(seed, PURPOSE)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        aside[members[torch.randperm(len(members), generator=random)[:count]]] = True
    return (~aside).nonzero().flatten(), aside.nonzero().flatten()
