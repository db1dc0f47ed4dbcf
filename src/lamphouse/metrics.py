"""Loss and accuracy of an epoch."""

import torch
from torch import Tensor
from torchmetrics import Metric


class LossAndAccuracy(Metric):
    """Mean loss and top-1 accuracy over all images seen, of all processes.

    Kept as sums on the device of the batch, so that a step costs no synchronisation and uneven batches weigh right; in
    float32 also where the model is in another type, in which it would not count far.
    """

    full_state_update = False
    names = ("loss", "acc")
    sums: Tensor  # loss, correct, images

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(3), dist_reduce_fx="sum")

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, a scalar; logits, [B, num_classes]; labels, [B]."""
        images = len(labels)
        correct = (logits.argmax(1) == labels).sum()
        batch = torch.stack([loss.detach().float() * images, correct, correct.new_full((), images)])
        self.sums = self.sums.float() + batch

    def running(self) -> dict[str, Tensor]:
        """Return `loss` and `acc`, 0..1, of this process so far; both are not-a-number before the first batch."""
        loss, correct, images = self.sums
        return dict(zip(self.names, (loss / images, correct / images), strict=True))

    def compute(self) -> dict[str, Tensor]:
        """Return `loss` and `acc`, 0..1, of all processes."""
        return self.running()
