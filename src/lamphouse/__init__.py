"""Parts for PyTorch Lightning projects."""
