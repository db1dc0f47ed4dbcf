"""Muon for the filters of convolutions."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, NonNegativeInt
from torch import Tensor
from torch.optim import Optimizer


class ConvMuon(Optimizer):
    """Muon for convolutional networks (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

    Filters, matrices with a row for each output channel, take orthogonalized steps and keep the norm √rows; the rest
    takes those of SGD with Nesterov momentum. torch's own Muon takes matrices only.

    Args:
        params: parameters or groups of them.
        lr: rate of filters: the largest change of a singular value in a step.
        momentum: momentum of filters.
        head_lr: rate of matrices.
        vector_lr: rate of vectors.
        sgd_momentum: momentum of matrices and vectors.
        weight_decay: fraction of matrices and vectors that a step at the full rate removes.
        steps: Newton-Schulz iterations.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: NonNegativeFloat = 0.24,
        momentum: ClosedUnitInterval = 0.6,
        head_lr: NonNegativeFloat = 0.1,
        vector_lr: NonNegativeFloat = 0.1,
        sgd_momentum: ClosedUnitInterval = 0.85,
        weight_decay: NonNegativeFloat = 0.0,
        steps: NonNegativeInt = 5,
    ) -> None:
        every = [p for group in params for p in (group["params"] if isinstance(group, dict) else [group])]
        filters, matrices, vectors = ([p for p in every if p.ndim in sizes] for sizes in ((3, 4, 5), (2,), (0, 1)))
        groups = [{"params": filters, "lr": float(lr), "momentum": float(momentum), "weight_decay": 0.0}]
        for parameters, rate in ((matrices, head_lr), (vectors, vector_lr)):
            decay = weight_decay / rate if rate else 0.0
            groups.append({"params": parameters, "lr": float(rate), "weight_decay": decay})
        super().__init__([group for group in groups if group["params"]], {"momentum": float(sgd_momentum)})
        self.steps = int(steps)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._change(parameter, parameter.grad, group)
        return loss

    def _change(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if parameter not in self.state:
            self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        velocity = self.state[parameter]["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add_(velocity, alpha=group["momentum"])
        if parameter.ndim > 2:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
            update = orthogonal(update.flatten(1), self.steps).view_as(update)
        parameter.sub_(update, alpha=group["lr"])


def orthogonal(matrix: Tensor, steps: int) -> Tensor:
    """Bring all singular values of a matrix, [M, N], near 1 and keep its singular vectors, by Newton-Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315  # coefficients of x, x³ and x⁵ that drive singular values towards 1 fastest
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).float()
    with torch.autocast(matrix.device.type, enabled=False):  # without instructions for it, bfloat16 is 100 times slower
        x = x / (x.norm() + 1e-7)
        for _ in range(steps):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
