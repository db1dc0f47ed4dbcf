"""What a start loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import CONFIGS, fit_options

LATE = {"IPython", "matplotlib", "onnx", "pandas", "scipy", "sklearn", "sympy", "tensorboard", "transformers", "wandb"}
FIT = """
import json, sys
from lamphouse.machine import memory, start
start.prepare()
from arc_light.__main__ import main
main(sys.argv[1:])
loaded = {name.partition(".")[0] for name in sys.modules}
from torch import tensor
from torchmetrics import MeanMetric
metric = MeanMetric()
metric.update(tensor(2.0))
figure, axes = metric.plot()
print(json.dumps([sorted(loaded), type(figure).__module__]))
"""


def test_a_start_loads_nothing_that_it_does_not_use_and_plots_work_all_the_same() -> None:
    logger = [f"--trainer.logger={CONFIGS / 'logger' / 'csv.yaml'}"]
    command = [sys.executable, "-c", FIT, "fit", *fit_options("digits_mlp"), *logger]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "agg"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded, figure = json.loads(done.stdout.splitlines()[-1])
    assert next(Path("runs").glob("*/*/csv/metrics.csv")).is_file()
    assert {"torch", "lightning", "torchmetrics"} <= set(loaded)
    assert not LATE & set(loaded)
    assert figure == "matplotlib.figure"
