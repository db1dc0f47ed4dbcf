"""The training loop written out: in plain PyTorch, and as Lightning's manual optimization."""
