"""The scenes of digits."""

from zlib import crc32

import pytest
import torch

from lamphouse.data import Samples
from arc_light.data import scenes
from arc_light.data.scenes import ScenesDataModule


def test_no_digit_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    compose, drawn = scenes.compose, []

    def composed(digits: Samples, *args: int, **kwargs: int) -> Samples:
        drawn.append({image.numpy().tobytes() for image in digits[:][0]})
        return compose(digits, *args, **kwargs)

    monkeypatch.setattr(scenes, "compose", composed)
    data = ScenesDataModule(scenes=5)
    for stage in ("fit", "test"):
        data.setup(stage)
    assert {part: len(samples) for part, samples in data.parts.items()} == {"train": 5, "val": 1, "test": 1}
    assert len(set().union(*drawn)) == sum(map(len, drawn)) > 1700


def test_scenes_are_the_same_on_every_machine() -> None:
    images, labels = ScenesDataModule(scenes=10).load(train=True)[:]
    assert (crc32(images.numpy().data), crc32(labels.numpy().data)) == (2905382967, 2097053152)


def test_digits_are_labelled_where_they_are() -> None:
    images, labels = ScenesDataModule(scenes=50).load(train=True)[:]
    assert labels.unique().tolist() == list(range(11))
    assert images[:, 0][labels > 0].float().mean() > images[:, 0][labels == 0].float().mean() + 50
    assert torch.all((labels > 0).flatten(1).sum(1) > 50)  # in every scene
