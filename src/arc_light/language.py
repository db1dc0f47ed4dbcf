"""Language modelling: the loss, metrics that follow from it, and sampling."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from lamphouse.task import Task

Batch = tuple[Tensor, Tensor]  # characters and those that follow them, int64 [B, T] each


class LanguageModel(Task):
    """A network that predicts the next character at each position of a text (abstract): a subclass builds `network`.

    Args:
        input_shape: number of characters in a window; linked to the data on the command line.
        num_classes: number of different characters; linked to the data on the command line.
        **kwargs: optimizer, schedule, further metrics and compilation; see `Task`.
    """

    of_loss = {"bits": lambda nats: nats / math.log(2), "perplexity": torch.exp}  # noqa: RUF012  # as `Task` declares it

    def __init__(self, input_shape: Sequence[int], num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_shape, self.num_classes = input_shape, num_classes

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the mean cross-entropy of a batch, in nats per character, and its logits, [B, T, num_classes]."""
        logits = self(batch[0])
        return F.cross_entropy(logits.flatten(0, 1), batch[1].flatten()), logits

    def respond(
        self,
        given: str,
        data: Any,
        characters: PositiveInt = 500,
        temperature: NonNegativeFloat = 0.8,
        seed: NonNegativeInt = 0,
    ) -> str:
        """Continue a text, character by character.

        Args:
            given: beginning of the text.
            data: encodes and decodes it.
            characters: how many to add.
            temperature: 1 samples as the model predicts, lower values more likely characters, 0 the most likely one.
            seed: of the sample.
        """
        random, text = torch.Generator().manual_seed(seed), data.encode(given)
        for _ in range(characters):
            logits = self(text[None, -self.input_shape[0] :].to(self.device))[0, -1].double().cpu()
            weights = ((logits - logits.max()) / (temperature or 1e-300)).exp()  # the largest is 1
            text = torch.cat([text, weights.multinomial(1, generator=random)])
        decoded: str = data.decode(text)
        return decoded
