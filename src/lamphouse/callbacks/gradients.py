"""Log statistics of the gradients."""

import math
from collections import defaultdict
from typing import Any
from weakref import WeakSet

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
        clipped: log the norm with which the step was taken, too, as "gradients/clipped_norm".
    """

    def __init__(self, every_n_steps: int = 50, clipped: bool = False) -> None:
        self.every_n_steps, self.clipped = every_n_steps, clipped
        self._hooked: WeakSet[Optimizer] = WeakSet()
        self._due: tuple[Trainer, LightningModule, dict[str, float], int] | None = None  # to log after the step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.measure(trainer, pl_module, optimizer, trainer.global_step)

    def measure(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer, step: int) -> None:
        """Measure the gradients of a step, counted from 0, before they are clipped, if that is due."""
        self._due = None
        if (step + 1) % self.every_n_steps or not trainer.loggers:
            return  # every process goes on, as each may have a shard of the gradients
        values = gradient_norms(module, optimizer)
        if not self.clipped or not math.isfinite(values["gradients/norm"]):  # for which a scaler takes no step
            log(trainer, values, step)
            return
        self._due = trainer, module, values, step
        if optimizer not in self._hooked:
            self._hooked.add(optimizer)
            optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        if self._due:
            trainer, module, values, step = self._due
            self._due = None
            log(trainer, values | {"gradients/clipped_norm": gradient_norms(module, optimizer)["gradients/norm"]}, step)


def log(trainer: Trainer, values: dict[str, float], step: int) -> None:
    """Give values of a step to all loggers."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        logger.log_metrics(values, step)


def gradient_norms(module: LightningModule, optimizer: Optimizer) -> dict[str, float]:
    """Return the norm of the gradients of an optimizer's parameters, and the largest share of a layer, if any."""
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    squares: dict[str, list[Tensor]] = defaultdict(list)  # of each layer
    for name, parameter in module.named_parameters():
        if id(parameter) in own and parameter.grad is not None:
            gradient = parameter.grad.coalesce().values() if parameter.grad.is_sparse else parameter.grad
            square = gradient.detach().abs().float().square().sum()
            squares[name.rpartition(".")[0]].append(square.full_tensor() if hasattr(square, "full_tensor") else square)
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
