"""The loss and the accuracy of a classifier."""

import torch
from torch.nn.functional import one_hot

from arc_light.models.network import NetworkClassifier

SHAPE = (3, 32, 32)


def classifier(**options: object) -> NetworkClassifier:
    return NetworkClassifier("torchvision.models.squeezenet1_1", input_shape=SHAPE, num_classes=5, **options).eval()


def test_loss_and_accuracy() -> None:
    model, images, labels = classifier(label_smoothing=0.2), torch.randn(6, *SHAPE), torch.arange(6) % 5
    loss = model.step("val", (images, labels))
    logits = model(images)
    target = 0.8 * one_hot(labels, 5) + 0.2 / 5
    torch.testing.assert_close(loss, -(target * logits.log_softmax(1)).sum(1).mean())
    assert model.val_metrics.compute()["acc"] == (logits.argmax(1) == labels).float().mean()


def test_flipped_images_have_the_same_logits() -> None:
    model, images = classifier(test_time_flip=True), torch.randn(2, *SHAPE)
    torch.testing.assert_close(model(images), model(images.flip(-1)))
