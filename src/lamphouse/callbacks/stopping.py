"""Stop early."""

from typing import Any

from lightning.pytorch import callbacks

from lamphouse.monitoring import Mode, MonitorsMetric, chosen_mode


class EarlyStop(MonitorsMetric, callbacks.EarlyStopping):
    """Lightning's EarlyStopping, which knows which value is the best, and counts each value once.

    Args:
        monitor: name of the metric.
        mode: whether the lowest or the highest value is the best; None derives it from the metric.
        check_on_train_epoch_end: check at the ends of epochs only, instead of after every validation.
        **kwargs: Lightning's own options.
    """

    option = "early_stopping"

    def __init__(
        self,
        monitor: str = "val/loss",
        mode: Mode | None = None,
        check_on_train_epoch_end: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode=mode or "min", check_on_train_epoch_end=False, **kwargs)
        self.given_mode, self.at_epoch_end = mode, bool(check_on_train_epoch_end)

    def choose_mode(self, module: Any) -> None:
        mode = chosen_mode(self.option, self.monitor, self.given_mode, module)
        if mode != self.mode:
            self.mode, self.min_delta, self.best_score = mode, -self.min_delta, -self.best_score  # infinite
