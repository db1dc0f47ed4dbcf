"""torchmetrics' plots, loaded when one is drawn: with them comes matplotlib, which takes a tenth of a start."""

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

NAME = "torchmetrics.utilities.plot"
TYPES = ("_AX_TYPE", "_CMAP_TYPE", "_PLOT_OUT_TYPE")  # which stand in annotations
FUNCTIONS = ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val")


def load_late() -> None:
    """Have another module stand there, which loads the real one when it is used."""
    if NAME not in sys.modules:
        stand_in = ModuleType(NAME)
        vars(stand_in).update(dict.fromkeys(TYPES, object))
        vars(stand_in).update({name: partial(draw, name) for name in FUNCTIONS})
        vars(stand_in)["__getattr__"] = of_real  # for what another version of it may have
        sys.modules[NAME] = stand_in


def draw(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the real module."""
    return getattr(real(), function)(*args, **kwargs)


def of_real(name: str) -> Any:
    """Find what else the real module has.

    Raises:
        AttributeError: it is asked for what Python has modules tell of themselves.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(real(), name)


def real() -> ModuleType:
    """Load the real module, once."""
    if getattr(sys.modules.get(NAME), "__file__", None) is None:
        sys.modules.pop(NAME, None)
    return import_module(NAME)
