"""Image classifiers with PyTorch Lightning."""
