"""Checkpoints and exact resume."""
