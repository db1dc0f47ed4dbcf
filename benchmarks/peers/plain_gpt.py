"""A language model in plain PyTorch, network and loop, as nanoGPT trains it on a CPU.

Usage: python plain_gpt.py TEXT.xz STEPS STEPS_BETWEEN_VALIDATIONS BATCHES_OF_A_VALIDATION. A validation covers the last
tenth of the text, if it has batches enough. It prints a line for each: steps, seconds since the first step, loss.
"""

import lzma
import math
import sys
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONTEXT, BATCH, DEPTH, HEADS, WIDTH = 64, 12, 4, 4, 128
LR, LAST_LR, WARMUP = 3e-3, 9e-5, 0.05  # the last of the steps


class Block(nn.Module):
    """A pre-norm block of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.attention, self.c_proj = (nn.Linear(WIDTH, n * WIDTH, bias=False) for n in (3, 1))
        self.mlp, self.mlp_c_proj = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each position, [B, T, WIDTH]."""
        split = self.attention(self.norm1(x)).chunk(3, 2)
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in split)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(mixed.transpose(1, 2).reshape(x.shape))
        added: Tensor = self.mlp_c_proj(F.gelu(self.mlp(self.norm2(x))))
        return x + added


class GPT(nn.Module):
    """A small GPT with the initialization of GPT-2."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(characters, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH, bias=False), nn.Linear(WIDTH, characters, bias=False)
        self.tokens.weight = self.head.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * DEPTH) if "c_proj" in name else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits, [B, T, characters]."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        logits: Tensor = self.head(self.norm(self.blocks(x)))
        return logits


def loss_of(model: GPT, windows: Tensor) -> Tensor:
    """Compute the mean cross-entropy of windows, [B, CONTEXT + 1]."""
    return F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def validate(model: GPT, text: Tensor, most: int) -> float:
    """Compute the mean loss over the text, or over so many batches of it."""
    model.eval()
    batches = [*islice(text.unfold(0, CONTEXT + 1, CONTEXT).split(BATCH), most)]
    total = sum(loss_of(model, windows).item() * len(windows) for windows in batches)
    model.train()
    return total / sum(map(len, batches))


def main(path: str, steps: int, between: int, most: int) -> None:
    """Train and validate."""
    torch.manual_seed(42)
    content = lzma.decompress(Path(path).read_bytes()).decode()
    index = {character: number for number, character in enumerate(sorted(set(content)))}
    text = torch.tensor([index[character] for character in content])
    train, val = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) :]
    model = GPT(len(index))
    matrices, others = ([p for p in model.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99), fused=True)
    start, warmup = perf_counter(), int(WARMUP * steps)
    for step in range(steps):
        decay = LAST_LR + (LR - LAST_LR) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
        for group in optimizer.param_groups:
            group["lr"] = LR * (step + 1) / (warmup + 1) if step < warmup else decay
        starts = torch.randint(len(train) - CONTEXT, (BATCH,))
        loss = loss_of(model, torch.stack([train[i : i + CONTEXT + 1] for i in starts]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % between == 0:
            reached = validate(model, val, most)
            print(f"steps {step + 1} {perf_counter() - start:.3f} {reached:.4f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
