"""The embedded digits."""

from arc_light.data.digits import DigitsDataModule


def test_every_digit_is_in_one_split() -> None:
    data = DigitsDataModule()
    data.setup("fit")
    data.setup("test")
    assert sum(len(part) for part in data.parts.values()) == 1797
    assert data.parts["train"].inputs.shape[1:] == (1, 8, 8)
