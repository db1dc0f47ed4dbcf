"""Every benchmark runs with tiny sizes and prints its rows; speed is not tested."""

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.options import Options
from benchmarks.tables import Table

ROWS = {
    "start": ["fit of one step, digits, CSV logger", "--help", "digits_mlp"],
    "step": ["raw loop, same arithmetic", "Lightning's loop alone", "handwritten", "manual", "automatic"],
    "gpt": ["whole process, s", "CPU time, s", "training and validation, s", "of float32 matmul"],
    "techniques": [
        "`--model.lr_scheduler ReduceLROnPlateau --model.lr_scheduler.patience 0`",
        "`--early_stopping.monitor val/acc`",
        "`--trainer.gradient_clip_val 0.1`",
        "`--trainer.precision 16-mixed`",
        "`--data.augment [CutMix]`",
        "`--model.class_weights [1,1,1,1,1,50,50,50,50,50]`",
    ],
    "cifar10": ["ours, mean", "as published, mean"],
    "everyday": ["224 pixels, batches of 2"],
    "finetune": ["from scratch", "all layers", "head only"],
    "knobs": ["as chosen", "--machine.allocator system", "--trainer.precision 32-true"],
    "memory": ["one epoch", "the imports alone", "the data files"],
    "loader": ["mnist_mlp", "cifar10_resnet"],
    "scale": ["400"],
    "many_classes": ["10", "10,000"],
    "many_runs": ["2", "4"],
    "folder": ["40"],
    "streaming": ["memory", "shards", "torchvision's ImageFolder"],
    "scaling": ["MLP, 1", "ResNet-18, 2", "ResNet-50, 1,024", "GPT 124M, 8"],
    "jpeg": ["ours", "torchvision's ImageFolder", "the decoder alone"],
    "many_epochs": ["epochs 1..5", "epochs 6..10"],
    "mnist": ["test accuracy, lowest", "whole process", "its imports alone", "without imports"],
}

DRAW = {"mnist", "techniques"}


@pytest.mark.parametrize("args", [["start", "sprint"], ["--repeats", "0"], ["--repeats", "x"], ["--fast"]])
def test_bad_input_is_one_line(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert re.fullmatch(r"benchmarks: .*\n", err)
    assert args[-1] in err


def test_a_table_is_markdown() -> None:
    table = Table("Title", ["", "s"])
    table.add("one", "1.0")
    assert str(table) == "Title\n\n|     |   s |\n| --- | --: |\n| one | 1.0 |"


def test_factors() -> None:
    assert [Options([], largest=largest).factors for largest in (1, 9, 10, 100)] == [[1], [1], [1, 10], [1, 10, 100]]


def test_all_benchmarks_are_tested() -> None:
    assert set(ROWS) == set(BENCHMARKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_prints_its_rows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--picture", "figure.svg"] if name in DRAW else []
    main([name, "--quick", *options])
    out, _ = capsys.readouterr()
    assert all(version in out for version in ("torch", "lightning", "Python"))
    assert "TFLOP/s" in out
    cells = [line.strip("| ").split("|") for line in out.splitlines() if line.startswith("|")]
    assert set(ROWS[name]) <= {row[0].strip() for row in cells}
    figures = [cell.strip(" %s") for row in cells for cell in row[1:] if re.match(r" *[\d.]+", cell)]
    assert figures
    assert all(float(figure.replace(",", "")) >= 0 for figure in figures)
    assert Path("figure.svg").exists() == (name in DRAW)
