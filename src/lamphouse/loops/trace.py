"""What a loop computes, noted batch by batch, in whichever loop a model is trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lamphouse.loops.schedule import optimizer_and_options

Entry = dict[str, Any]  # by name, in the order in which one follows from another


@dataclass
class Trace:
    """The state before each training batch, as fingerprints, and its loss."""

    entries: list[Entry] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # from one batch to the next
    optimizer: Optimizer | None = None
    steps: int = 0  # that the optimizer took
    _noted: float | None = None

    def follow(self, optimizer: Optimizer) -> None:
        """Count the steps of an optimizer."""
        self.optimizer = optimizer
        optimizer.register_step_post_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.steps += 1

    def note(self, model: nn.Module, batch: Any) -> None:
        """Add an entry; the time that this takes does not count."""
        if batch[0].device.type != "cpu":
            torch.accelerator.synchronize()
        if self._noted is not None:
            self.seconds.append(perf_counter() - self._noted)
        rates = [group["lr"] for group in self.optimizer.param_groups] if self.optimizer else []
        self.entries.append(
            {
                "optimizer steps": self.steps,
                "learning rate": [float(lr) for lr in rates],
                "mode": [name for name, module in model.named_modules() if not module.training],
                "random numbers": list(random_states(batch[0].device)),
                "batch": [fingerprint(part) for part in batch],
                **{name: fingerprint(tensor) for name, tensor in model.state_dict().items()},
            }
        )
        self._noted = perf_counter()

    def add_loss(self, loss: Tensor) -> None:
        """Complete the last entry; its loss stays on the device, so as not to wait for it."""
        self.entries[-1]["loss"] = loss.detach()

    def losses(self) -> list[float]:
        """Return the loss of each batch."""
        return [float(entry["loss"]) for entry in self.entries]

    def seconds_per_step(self) -> float:
        """Return the median time from batch to batch, times the batches of a step."""
        return median(self.seconds or [math.nan]) * len(self.entries) / max(self.steps, 1)


class Traced:
    """Notes the batches of a model's training (mixed in by `trace`)."""

    parity_trace: Trace

    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Compute the loss, and note it when it is for training."""
        step: Any = super()
        if not torch.is_grad_enabled():
            return step.loss(batch)  # type: ignore[no-any-return]  # a step of the user's may return anything
        self.parity_trace.note(self, batch)  # type: ignore[arg-type]  # the step is a Classifier's here
        loss, logits = step.loss(batch)
        self.parity_trace.add_loss(loss)
        return loss, logits

    def configure_optimizers(self, *args: Any, **kwargs: Any) -> Any:
        """Follow the optimizer."""
        step: Any = super()
        configured = step.configure_optimizers(*args, **kwargs)
        self.parity_trace.follow(optimizer_and_options(configured)[0])
        return configured


def trace(model: nn.Module) -> Trace:
    """Have a model note its training, in place."""
    model.__class__ = type(f"Traced{type(model).__name__}", (Traced, type(model)), {})
    noted = Trace()
    model.parity_trace = noted  # type: ignore[assignment]  # in place of the model's own
    return noted


def random_states(device: torch.device) -> Iterator[str]:
    """Fingerprint the states of torch's global generators."""
    yield fingerprint(torch.get_rng_state())
    if device.type == "cuda":
        yield fingerprint(torch.cuda.get_rng_state(device))


def fingerprint(tensor: Tensor) -> str:
    """Tell tensors apart by all of their bits."""
    values: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return blake2b(values, digest_size=8).hexdigest()
