"""The embedded digits."""

from arc_light.data.digits import DigitsDataModule


def test_every_digit_is_in_one_split() -> None:
    data = DigitsDataModule(batch_size=64)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    loaders = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    batches = [batch for loader in loaders for batch in loader]
    assert sum(len(batch[1]) for batch in batches) == 1797
    assert all(batch[0].shape[1:] == (1, 8, 8) for batch in batches)
    assert {int(label) for batch in batches for label in batch[1]} == set(range(10))
