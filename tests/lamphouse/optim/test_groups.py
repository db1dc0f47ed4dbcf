"""Weight decay of weights only."""

import torch
from torch import nn
from torch.optim import AdamW

from lamphouse.optim import parameter_groups


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decayed, others = AdamW(parameter_groups(network), lr=0.1, weight_decay=0.3).param_groups
    assert {id(p) for p in decayed["params"]} == {id(p) for p in network.parameters() if p.ndim > 1}
    assert {id(p) for p in others["params"]} == {id(p) for p in network.parameters() if p.ndim == 1}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0)


def test_frozen_parameters_and_empty_groups_are_omitted() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad = False
    (group,) = parameter_groups(layer)
    assert len(group["params"]) == 1
    assert torch.equal(group["params"][0], layer.bias)
