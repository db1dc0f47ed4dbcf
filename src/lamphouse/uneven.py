"""Steps for which processes have unequal numbers of samples, or none."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from lightning_utilities import apply_to_collection
from torch import Tensor


def loss_of_none(loss: Callable[[Any], tuple[Tensor, Any]], batch: Any) -> tuple[Tensor, Any]:
    """Compute the loss of one sample of zeros for an empty batch, as other processes wait for it; predict nothing."""
    value, predictions = loss(apply_to_collection(batch, Tensor, lambda values: values.new_zeros(1, *values.shape[1:])))
    return value, apply_to_collection(predictions, Tensor, lambda values: values[:0])


def weighted(loss: Tensor, samples: int, trainer: Any) -> Tensor:
    """Weigh the mean loss of a last batch by its samples, so that the mean of all gradients is that of all samples."""
    alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
    if alone or trainer is None or not trainer.is_last_batch:
        return loss  # all processes have as many
    count = torch.full((), samples, dtype=torch.float32, device=loss.device)
    mean: Tensor = trainer.strategy.reduce(count.clone(), reduce_op="mean")
    return loss * (count / mean).to(loss.dtype)
