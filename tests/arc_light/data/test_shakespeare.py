"""Shakespeare's plays as characters."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch

from lamphouse.errors import InputError
from arc_light.data.shakespeare import ShakespeareDataModule
from arc_light.data.text import TextDataModule


def test_windows_cover_the_text_and_targets_are_one_further() -> None:
    data = ShakespeareDataModule(context=50)
    data.setup("fit")
    (train, shifted), (val, _) = (data.parts[part][:] for part in ("train", "val"))
    start, end = torch.cat([train[:, 0], train[-1, 1:], shifted[-1, -1:]]), val.flatten()  # of both parts of the text
    text = data.decode(torch.cat([start, end])) + "rather; wink'st\nWhiles thou art waking.\n"  # what fills no window
    assert sha256(text.encode()).hexdigest() == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert torch.equal(shifted[:-1], train[1:])
    assert len({data.parts[part].inputs.untyped_storage().data_ptr() for part in data.parts}) == 1  # one text in memory
    assert len(start) == 1003854


@pytest.mark.parametrize("text", ["", "Romeo ♥ Juliet"])
def test_a_text_of_other_characters_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="♥' is not among the characters" if text else "is empty"):
        ShakespeareDataModule().encode(text)


def test_a_text_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("Grüße, Welt ♥\n" * 20, encoding="utf-8")
    data = TextDataModule(str(path), context=9, val_fraction=0.5)
    data.setup("fit")
    assert (data.decode(data.parts["val"][0][0]), data.num_classes) == ("Grüße, ", 256)
    for wrong, said in ((tmp_path, "Is a directory"), (None, "missing")):
        with pytest.raises(InputError, match=f"--data.path.*{said}.*: name a text file"):
            TextDataModule(wrong and str(wrong)).setup("fit")


def test_a_window_longer_than_the_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"--data.context 200000: .* 111,540 characters"):
        ShakespeareDataModule(context=200000).setup("fit")
