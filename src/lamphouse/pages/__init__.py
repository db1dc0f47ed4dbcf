"""A page about a run: one HTML file with figures, which loads nothing."""

from lamphouse.pages.figures import calibration_figure, confusion_figure, curve_figures, overlay_figures
from lamphouse.pages.page import render, render_comparison
from lamphouse.pages.pictures import Pictures, look
from lamphouse.pages.predictions import Predictions, predict

__all__ = [
    "Pictures", "Predictions", "calibration_figure", "confusion_figure", "curve_figures", "look", "overlay_figures",
    "predict", "render", "render_comparison",
]  # fmt: skip
