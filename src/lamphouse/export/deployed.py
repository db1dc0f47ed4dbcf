"""A model as others use it: with the preprocessing of its data, and probabilities as output."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

BATCH_SIZES = (1, 2, 7, 64)  # at which an exported model is compared with the model


class Deployed(nn.Module):
    """A copy of a model in evaluation mode that takes what is in a data set and returns what its user wants to know.

    Args:
        model: maps preprocessed inputs, [B, ...], to logits, [B, C], or to any tensor if there are no classes.
        preprocess: maps inputs as the data set holds them, such as uint8 images, [B, C, H, W], to what the model takes;
            None if they are the same.
        classes: names of the classes, in the order of the logits; without any, the model's output is returned as it is.
        softmax: whether outputs for classes are logits; they are probabilities otherwise.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        classes: Sequence[str] = (),
        softmax: bool = True,
    ) -> None:
        super().__init__()
        self.model, self.preprocess, self.classes = deepcopy(model).cpu().float(), preprocess, list(classes)
        self.softmax = softmax and bool(classes)
        self.eval()

    @property
    def output(self) -> str:
        """What `forward` returns: "probabilities" or "outputs"."""
        return "probabilities" if self.classes else "outputs"

    def forward(self, inputs: Tensor) -> Tensor:
        """Return probabilities, float32 [B, C], or the model's outputs."""
        outputs: Tensor = self.model(self.preprocess(inputs) if self.preprocess else inputs)
        return outputs.softmax(1) if self.softmax else outputs


@torch.inference_mode()
def largest_difference(deployed: Deployed, other: Callable[[Tensor], Tensor], inputs: Tensor) -> float:
    """Return the largest absolute difference between the outputs of two models, over several batch sizes."""
    batches = [inputs[:size] for size in BATCH_SIZES]
    return max(float((deployed(batch) - other(batch)).abs().max()) for batch in batches)
