"""Every example of docs/parts.md runs as it stands, with a stock Trainer and a module that is not of lamphouse."""

import re
from typing import Any

import pytest
import torch
from conftest import ROOT
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import Tensor

PAGE = (ROOT / "docs" / "parts.md").read_text()
EXAMPLES = re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)


class Model(BoringModel):
    """Lightning's own model, which takes inputs with and without targets."""

    def step(self, batch: Any) -> Tensor:
        return super().step(batch if isinstance(batch, Tensor) else batch[0])


class QuietTrainer(Trainer):
    """A Trainer that computes little and prints nothing."""

    def __init__(self, **options: Any) -> None:
        few = {"limit_train_batches": 2, "limit_val_batches": 2, "accelerator": "cpu", "enable_model_summary": False}
        super().__init__(**{"logger": False, "enable_checkpointing": False, **few, **options})


def names(shared: list[str]) -> dict[str, Any]:
    model = Model()
    model.trainer = Trainer(max_epochs=1, logger=False, accelerator="cpu")
    found = {"Trainer": QuietTrainer, "torch": torch, "model": model}
    for line in shared:
        exec(line, found)  # noqa: S102  # an example of the page
    found["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.1)
    return found


@pytest.mark.parametrize(("title", "text"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example(title: str, text: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    found = names(re.findall(r"^from lamphouse.*$", PAGE, re.MULTILINE))
    exec(code, found)  # noqa: S102  # the page's own code
    trainer = found["trainer"] if "trainer" in found else QuietTrainer(max_epochs=1)
    trainer.fit(found["model"], datamodule=found.get("data"))
    assert trainer.state.finished


def test_every_part_names_its_tests() -> None:
    for title, text in EXAMPLES:
        named = re.findall(r"`(tests/[\w/.]+)`", text)
        assert named, title
        assert all((ROOT / path).exists() for path in named), named


def test_every_callback_is_on_the_page() -> None:
    exported = set(__import__("lamphouse.callbacks", fromlist=["__all__"]).__all__)
    assert {name for name in exported if name[0].isupper()} <= set(re.findall(r"\w+", PAGE))
