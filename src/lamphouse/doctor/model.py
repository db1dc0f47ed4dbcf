"""Checks of a model in evaluation mode: the same input gives the same output, whatever else is in the batch."""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from lamphouse.doctor.findings import Finding, attempt, judged

FEW = 4  # samples


def examine_model(model: nn.Module, inputs: Tensor) -> Iterator[Finding]:
    """Check a module that maps inputs, [B, ...], to outputs, [B, ...]."""
    model = deepcopy(model).cpu().eval()
    few = inputs[:FEW].cpu()
    yield attempt(lambda: _repeated(model, few), "the same output twice")
    yield attempt(lambda: _alone(model, few), "outputs that depend on their own input only")


@torch.inference_mode()
def _repeated(model: nn.Module, inputs: Tensor) -> Finding:
    same = torch.equal(model(inputs), model(inputs))
    what = "in evaluation mode, the same input gives " + ("the same output" if same else "another output each time")
    return judged(same, what, "give functional dropout `training=self.training`")


@torch.inference_mode()
def _alone(model: nn.Module, inputs: Tensor) -> Finding:
    others = inputs.clone()
    others[1:] = inputs[1:].flip(-1) if inputs[1:].flip(-1).ne(inputs[1:]).any() else 0
    same = torch.allclose(model(inputs)[0], model(others)[0], rtol=1e-3, atol=1e-4)
    what = "in evaluation mode, an output depends on " + ("its own input only" if same else "other inputs of its batch")
    return judged(same, what, "look for statistics of the batch, and for a wrong dimension in softmax, mean or view")
