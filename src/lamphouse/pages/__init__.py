"""A page about a run: one HTML file with figures, which loads nothing."""

from lamphouse.pages.figures import calibration_figure, confusion_figure, curve_figures, overlay_figures
from lamphouse.pages.page import data_uri, render, render_comparison
from lamphouse.pages.predictions import Predictions, predict

__all__ = [
    "Predictions", "calibration_figure", "confusion_figure", "curve_figures", "data_uri", "overlay_figures", "predict",
    "render", "render_comparison",
]  # fmt: skip
