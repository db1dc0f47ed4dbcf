"""Continue a run."""

from collections.abc import Sequence

import yaml

from arc_light.commands.fit import check, train
from arc_light.commands.options import OptionParser, run_and_rest
from arc_light.errors import InputError
from arc_light.experiment import Experiment
from arc_light.runs import load_checkpoint

KEPT = (  # as the run was begun
    "model",
    "data",
    "seed_everything",
    "ema",
    "loop",  # [part:loops]
)


def main(args: Sequence[str]) -> None:
    """Train on from a run's newest checkpoint, in its own directory.

    Raises:
        InputError: there is no such run or checkpoint, nothing is left to train, or what is trained would change.
    """
    parser = OptionParser(
        "resume", "Continue a run; further options are those of fit, such as --trainer.max_epochs 30."
    )
    _, run, rest = run_and_rest(parser, args)
    checkpoint = load_checkpoint(run.last)
    done = checkpoint["epoch"] + 1
    experiment = Experiment("resume", ["-c", str(run.config), *rest], where=lambda _: run)
    before, after = yaml.safe_load(run.config.read_text()), yaml.safe_load(experiment.resolved())
    for part in KEPT:
        if after.get(part) != before.get(part):
            raise InputError(f"--{part}: a run is resumed as it was begun: use fit for a new one")
    epochs = experiment.trainer.max_epochs
    if epochs is not None and 0 <= epochs <= done:
        raise InputError(
            f"--trainer.max_epochs {epochs}: the run has trained {done} epochs already: give a larger number"
        )
    experiment.check_weights(checkpoint, run.last)
    experiment.load_data()
    check(experiment)
    experiment.table.keep_before(done)
    train(experiment, str(run.last))
