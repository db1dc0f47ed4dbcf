"""The small GPT, and what every language model does."""

import math

import pytest
import torch

from lamphouse.errors import InputError
from arc_light.data.shakespeare import ShakespeareDataModule
from arc_light.models.gpt import GPT, GPTLanguageModel


def model(**options: object) -> GPTLanguageModel:
    torch.manual_seed(0)
    return GPTLanguageModel(depth=2, heads=2, width=8, input_shape=[16], num_classes=65, **options).eval()


def test_the_default_has_nanogpts_parameters() -> None:
    with torch.device("meta"):  # shapes without numbers
        assert sum(p.numel() for p in GPT(64, 65).parameters()) == 804_096


@torch.inference_mode()
def test_an_output_depends_on_nothing_that_follows() -> None:
    tokens = torch.randint(65, (2, 16))
    outputs, changed = (model()(torch.cat([tokens[:, :9], rest], 1)) for rest in (tokens[:, 9:], tokens[:, :7]))
    torch.testing.assert_close(outputs[:, :9], changed[:, :9])
    assert not torch.allclose(outputs[:, 9:], changed[:, 9:])


def test_metrics_follow_from_the_loss() -> None:
    gpt = model()
    loss = gpt.step("val", (torch.randint(65, (3, 16)), torch.randint(65, (3, 16)))).item()
    values = gpt.val_metrics.compute()
    assert values["bits"].item() == pytest.approx(loss / math.log(2))
    assert values["perplexity"].item() == pytest.approx(math.exp(loss))
    assert loss == pytest.approx(math.log(65), rel=0.02)
    assert gpt.metric_mode("val/bits") == "min"


@torch.inference_mode()
def test_a_text_is_continued() -> None:
    gpt, data, beginning = model(), ShakespeareDataModule(), "ROMEO: longer than a window\n"
    first, again, other = (gpt.respond(beginning, data, 40, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first.startswith(beginning)
    assert len(first) == len(beginning) + 40
    best = gpt.respond("R", data, 3, temperature=0)
    assert best == gpt.respond("R", data, 3, temperature=1e-9, seed=1)


def test_heads_share_the_width() -> None:
    with pytest.raises(InputError, match=r"--model.width 128: is no multiple of heads, 3"):
        GPT(8, 8, heads=3)
