"""What the hand-written loop's run writes: logs and checkpoints."""

from lightning.pytorch import Trainer

from lamphouse.callbacks.progress import print_epoch
from lamphouse.checkpoints.files import write_checkpoint
from lamphouse.checkpoints.resume import SaveInterval
from lamphouse.cli.experiment import Experiment
from lamphouse.loops.checkpoint import checkpoint_of
from lamphouse.loops.watch import Metrics
from arc_light.loops.handwritten import Training


class Keeper:
    """Logs epochs and writes checkpoints, as the callbacks do for the other loops.

    Args:
        experiment: whose run it is.
        resumable: whether training can go on within an epoch.
    """

    def __init__(self, experiment: Experiment, resumable: bool) -> None:
        self.experiment, self.resumable = experiment, resumable
        options = experiment.config.last_checkpoint
        self.interval = SaveInterval(options.every_n_steps, options.minutes)

    def on_step(self, training: Training) -> None:
        """Write a checkpoint within an epoch, if that is due or the run is to stop.

        Raises:
            StoppedError: a signal asked for it.
        """
        signals = self.experiment.signals
        if self.resumable and (signals.received or self.interval.passed(training.step)):
            self.write(training)
        signals.check()

    def on_epoch_end(self, training: Training, metrics: Metrics, best: bool) -> None:
        """Log an epoch and write its checkpoints.

        Raises:
            StoppedError: a signal asked for it.
        """
        trainer, run = self.experiment.trainer, self.experiment.run
        validation = {name: value for name, value in metrics.items() if name.startswith("val/")}
        rest = {name: value for name, value in metrics.items() if name not in validation}
        for values in (validation, rest):
            log(trainer, values, training.epoch - 1, training.step - 1)
        if best:
            of_epoch = {"epoch": training.epoch - 1}
            write_checkpoint(checkpoint_of(training, self.experiment.datamodule) | of_epoch, run.best)
        self.write(training)
        if self.experiment.config.trainer.enable_progress_bar is not False:
            print_epoch(training.epoch - 1, training.options.epochs, metrics)
        self.experiment.signals.check()

    def write(self, training: Training) -> None:
        """Write the checkpoint to resume from."""
        write_checkpoint(checkpoint_of(training, self.experiment.datamodule), self.experiment.run.last)
        self.interval.restart()


def log(trainer: Trainer, metrics: Metrics, epoch: int, step: int) -> None:
    """Hand metrics to every logger, in Lightning's way."""
    values = {name: value.item() for name, value in metrics.items()}
    for logger in trainer.loggers:
        logger.log_metrics({**values, "epoch": epoch}, step)
        logger.save()
