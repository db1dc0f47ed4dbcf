"""What a classifier predicts for a part of the data, and what follows from it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_calibration_error

from lamphouse.metrics import class_counts, class_probabilities, class_table

BINS = 10  # of confidence, for the calibration
MOST_MISTAKES = 64


@dataclass(frozen=True)
class Predictions:
    """Probabilities, float32 [N, C], and labels, int64 [N], of samples, and the names of the classes."""

    probabilities: Tensor
    labels: Tensor
    classes: Sequence[str]

    @property
    def counts(self) -> Tensor:
        """Count correct predictions, samples and predictions of each class, int64 [3, C]."""
        return class_counts(self.labels, self.probabilities.argmax(1), len(self.classes))

    @property
    def calibration_error(self) -> float:
        """The expected calibration error (Guo et al. 2017, arXiv:1706.04599, section 2)."""
        return float(multiclass_calibration_error(self.probabilities, self.labels, len(self.classes), BINS))

    @property
    def macro_f1(self) -> float:
        """The mean of the F1 scores of the classes that occur, among labels or predictions."""
        occurs = self.counts[1:].sum(0) > 0
        return float(torch.tensor([row["f1"] for row in self.table()])[occurs].mean())

    def table(self) -> list[dict[str, Any]]:
        """Return count, accuracy, precision and F1 score of each class."""
        return class_table(self.counts, self.classes)

    def reliability(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean confidence, accuracy and count of the samples in each bin of confidence, float32 [BINS] each."""
        confidence, predicted = self.probabilities.max(1)
        bins = (confidence * BINS).long().clamp(max=BINS - 1)
        counts = bins.bincount(minlength=BINS).float()
        sums = [bins.bincount(values, BINS).float() for values in (confidence, (predicted == self.labels).float())]
        return sums[0] / counts.clamp(min=1), sums[1] / counts.clamp(min=1), counts

    def mistakes(self) -> list[dict[str, Any]]:
        """Return the most confident mistakes: index, label, prediction and its probability."""
        confidence, predicted = self.probabilities.max(1)
        wrong = (predicted != self.labels).nonzero().flatten()
        chosen = wrong[confidence[wrong].argsort(descending=True, stable=True)][:MOST_MISTAKES].tolist()
        names = [[self.classes[index] for index in indices.tolist()] for indices in (self.labels, predicted)]
        return [
            {"index": i, "label": names[0][i], "prediction": names[1][i], "p": float(confidence[i])} for i in chosen
        ]


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Iterable[Any], prepare: Callable[[Any], Any], classes: Sequence[str]
) -> Predictions | None:
    """Collect the predictions of a classifier over batches, each prepared to (inputs, labels, ...).

    None if the model classifies nothing: there is not one output for each class.
    """
    model.eval()
    probabilities, labels = [], []
    for batch in batches:
        inputs, targets = prepare(batch)[:2]
        predicted = class_probabilities(model(inputs), len(classes))
        if predicted is None:
            return None
        probabilities.append(predicted.cpu())
        labels.append(targets.cpu())
    return Predictions(torch.cat(probabilities), torch.cat(labels), classes)
