"""Log statistics of the gradients."""

import math
from collections import defaultdict

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer


class GradientNorms(Callback):
    """Logs the norm of all gradients, before they are clipped, and the layer with the largest share of it.

    They are "gradients/norm", "gradients/largest_share", a part of the squared norm, and the share again by the name of
    its layer, such as "gradients/share/network.0". The layer is the module that the parameters belong to. Loggers get
    them with the number of the step, counted from 0. Only for these steps, an accelerator is waited for.

    Args:
        every_n_steps: log the first step that completes so many, and so on.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        step = trainer.global_step
        if (step + 1) % self.every_n_steps == 0 and trainer.is_global_zero and trainer.loggers:
            values = gradient_norms(pl_module, optimizer)
            for logger in trainer.loggers:
                logger.log_metrics(values, step)


def gradient_norms(module: LightningModule, optimizer: Optimizer) -> dict[str, float]:
    """Return the norm of the gradients of an optimizer's parameters, and the largest share of a layer, if any."""
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    squares: dict[str, list[Tensor]] = defaultdict(list)  # of each layer
    for name, parameter in module.named_parameters():
        if id(parameter) in own and parameter.grad is not None:
            gradient = parameter.grad.coalesce().values() if parameter.grad.is_sparse else parameter.grad
            squares[name.rpartition(".")[0]].append(gradient.detach().abs().float().square().sum())
    if not squares:
        return {"gradients/norm": 0.0}
    sums = torch.stack([torch.stack(of).sum() for of in squares.values()]).tolist()  # waits for an accelerator
    layers = dict(zip(squares, sums, strict=True))
    total = sum(layers.values())
    norm = {"gradients/norm": math.sqrt(total)}
    if not 0 < total < math.inf:
        return norm
    layer = max(layers, key=lambda name: layers[name])
    share = layers[layer] / total
    return {**norm, "gradients/largest_share": share, f"gradients/share/{layer or 'model'}": share}
