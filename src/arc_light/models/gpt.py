"""A small GPT (Radford et al. 2019, "Language models are unsupervised multitask learners"), as nanoGPT builds it."""

import math
from typing import Any

from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from lamphouse.errors import InputError
from arc_light.language import LanguageModel


class Attention(nn.Module):
    """Fused causal multi-head self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.projection = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Let each position, [B, T, width], attend to itself and to those before."""
        split = self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1))  # [B, T, 3, heads, width / heads]
        q, k, v = split.permute(2, 0, 3, 1, 4)  # [B, heads, T, width / heads] each
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return F.dropout(self.projection(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)


class Block(nn.Module):
    """A pre-norm transformer block: attention and a feed-forward network, each with a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads, dropout)
        self.expansion_norm = nn.LayerNorm(width, bias=False)
        self.expansion = nn.Linear(width, 4 * width, bias=False)
        self.projection = nn.Linear(4 * width, width, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map a sequence, [B, T, width], to one of the same shape."""
        x = x + self.attention(self.attention_norm(x))
        added = self.projection(F.gelu(self.expansion(self.expansion_norm(x))))
        return x + F.dropout(added, self.dropout, self.training)


class GPT(nn.Module):
    """A transformer that predicts what follows each position of a sequence.

    Args:
        context: length of the longest sequence.
        num_classes: number of different tokens.
        depth: number of blocks.
        heads: of the attention.
        width: of the residual stream, a multiple of `heads`.
        dropout: dropout probability of embeddings, attention and what each block adds, 0..1.
    """

    def __init__(
        self, context: int, num_classes: int, depth: int = 4, heads: int = 4, width: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"--model.width {width}: is no multiple of heads, {heads}: change one of the two")
        self.tokens, self.positions = nn.Embedding(num_classes, width), nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:  # as GPT-2: the variance of the stream does not grow with its 2 * depth summands
                std = 0.02 / math.sqrt(2 * depth) if "projection" in name else 0.02
                nn.init.normal_(parameter, std=std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens, int64 [B, T], to logits of those that follow, [B, T, num_classes]."""
        x = self.dropout(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]])
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)  # tied: the embeddings are the head


class GPTLanguageModel(LanguageModel):
    """A small GPT; by default 4 blocks of 4 heads and width 128, which with 65 characters has 0.8 million parameters.

    Args:
        depth: number of blocks.
        heads: heads of the attention.
        width: width of the residual stream, a multiple of `heads`.
        dropout: dropout probability of embeddings, attention and what each block adds, 0..1.
        **kwargs: see `LanguageModel`.
    """

    def __init__(
        self,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        width: PositiveInt = 128,
        dropout: ClosedUnitInterval = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = GPT(self.input_shape[0], self.num_classes, depth, heads, width, dropout)

    @property
    def head(self) -> nn.Module:
        """The embeddings, by which the outputs are computed, too."""
        return self.network.get_submodule("tokens")
