"""`completion`: what a shell offers after TAB."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

CASES = [
    (["ev"], {"evaluate"}),
    (["fit", "--trainer.max_ep"], {"--trainer.max_epochs"}),
    (["fit", "--model.optimizer", "AdamW"], {"AdamW"}),
    (["fit", "--model.optimizer.weight_d"], {"--model.optimizer.weight_decay"}),
    (["resume", "--logger", "c"], {"csv"}),
    (["evaluate", "--data.test_fr"], {"--data.test_fraction"}),
    (["predict", "--skip"], {"--skip_unreadable"}),
    (["predict", "--trainer.max"], set()),
    (["show", "--stop_early", "f"], {"false"}),
]


@pytest.mark.slow
def test_bash_completes_commands_options_and_values(arc: Callable[..., Outcome]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    done = arc("completion", "bash")
    assert (done.status, done.err) == (0, "")
    lines = [
        f"COMP_WORDS=(arc-light {' '.join(words)}); COMP_CWORD={len(words)}; _arc_light; echo ${{COMPREPLY[@]}}"
        for words, _ in CASES
    ]
    Path("try.sh").write_text("\n".join([done.out, *lines]))
    shown = subprocess.run(["bash", "--norc", "try.sh"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [set(line.split()) for line in shown] == [expected for _, expected in CASES]
