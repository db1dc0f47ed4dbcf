"""Parameter groups."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Split the trainable parameters so that one-dimensional ones (biases, norms) have no weight decay.

    Decaying them costs accuracy (He et al. 2019, arXiv:1812.01187, section 3.1).
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    decayed = {"params": [p for p in parameters if p.ndim > 1]}
    others = {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
    return [group for group in (decayed, others) if group["params"]]
