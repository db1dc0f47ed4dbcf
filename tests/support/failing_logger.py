"""A logger that fails on demand."""

from typing import Any

from lightning.pytorch.loggers import Logger


class FailingLogger(Logger):
    """Fails in one of its methods, and notes all calls."""

    name, version = "failing", ""

    def __init__(self, failing: str = "", save_dir: str = "") -> None:
        super().__init__()
        self.failing, self._save_dir = failing, save_dir
        self.error: BaseException = OSError(28, "No space left on device")
        self.calls: list[str] = []

    @property
    def save_dir(self) -> str:
        return self._save_dir

    def called(self, name: str) -> str:
        self.calls.append(name)
        if name == self.failing:
            raise self.error
        return name

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.called("log_metrics")

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self.called("log_hyperparams")

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        self.called("log_graph")

    def save(self) -> None:
        self.called("save")

    def finalize(self, status: str) -> None:
        self.called("finalize")

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self.called("after_save_checkpoint")

    @property
    def experiment(self) -> Any:
        return self.called("experiment")
