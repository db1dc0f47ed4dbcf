"""The loss and the metrics of a model that labels pixels."""

import numpy as np
import torch
from torch import Tensor
from torchmetrics.segmentation import DiceScore

from arc_light.models.unet import UNetSegmenter

SHAPE, CLASSES = (3, 16, 24), 4


def segmenter() -> tuple[UNetSegmenter, tuple[Tensor, Tensor]]:
    batch = torch.randn(6, *SHAPE), torch.randint(CLASSES, (6, *SHAPE[1:])).byte()
    return UNetSegmenter(input_shape=SHAPE, num_classes=CLASSES, width=8, levels=2).eval(), batch


def test_loss_and_metrics() -> None:
    model, (images, labels) = segmenter()
    loss = model.step("val", (images, labels))
    logits = model(images)
    assert logits.shape == (6, CLASSES, *SHAPE[1:])
    torch.testing.assert_close(loss, -logits.log_softmax(1).gather(1, labels.long()[:, None]).mean())
    predicted, values = logits.argmax(1), model.val_metrics.compute()
    pairs = [(predicted == index, labels == index) for index in range(CLASSES)]
    iou = torch.stack([(one & other).sum() / (one | other).sum() for one, other in pairs]).mean()
    torch.testing.assert_close((values["acc"], values["iou"]), ((predicted == labels).float().mean(), iou))
    dice = DiceScore(CLASSES, aggregation_level="global", input_format="index")
    torch.testing.assert_close(values["dice"], dice(predicted, labels.long()))


def test_masks_have_the_classes_as_values() -> None:
    model, (images, labels) = segmenter()
    (mask, *_), (expected, *_) = model.pictures(model(images)), model.pictures(labels)
    assert (mask.mode, mask.size) == ("P", (SHAPE[2], SHAPE[1]))
    assert torch.equal(torch.from_numpy(np.array(expected)), labels[0])
