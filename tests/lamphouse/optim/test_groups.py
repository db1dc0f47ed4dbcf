"""Weight decay of weights only."""

import torch
from torch import nn
from torch.optim import SGD, AdamW

from lamphouse.optim import parameter_groups
from arc_light.models.resnet import resnet


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    network = resnet((1, 8, 8), 3, 8, 4)
    decayed, others = AdamW(parameter_groups(network), lr=0.1, weight_decay=0.3).param_groups
    assert {id(p) for p in decayed["params"]} == {id(p) for p in network.parameters() if p.ndim > 1}
    assert {id(p) for p in others["params"]} == {id(p) for p in network.parameters() if p.ndim == 1}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0)


def test_a_step_without_gradient_shrinks_the_weights_only() -> None:
    layer = nn.Linear(3, 2)
    before = [p.detach().clone() for p in layer.parameters()]
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    SGD(parameter_groups(layer), lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.5 * 0.1))
    assert torch.equal(layer.bias.detach(), before[1])


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad = False
    assert [group["params"] for group in parameter_groups(layer)] == [[layer.bias]]
