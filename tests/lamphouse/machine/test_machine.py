"""What is left to the machine, and what overrules it."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from conftest import Outcome

from lamphouse.machine import memory, settings

Command = Callable[..., Outcome]
LEFT_OPEN = ("--trainer.precision=null", "--model.channels_last=null", "--trainer.fast_dev_run=true")


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note when memory would be kept."""
    calls: list[str] = []
    monkeypatch.setattr(memory, "keep_memory", lambda: calls.append("kept"))
    return calls


def told(outcome: Outcome) -> str:
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("machine: "))
    return line


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_precision_and_layout_follow_from_the_machine(
    fit: Command, fast: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "native_bf16", lambda device: fast)
    outcome = fit("--model.width=8", *LEFT_OPEN, experiment="digits_resnet")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"{precision}, channels last" in told(outcome)


@pytest.mark.parametrize(("fast", "expected"), [(True, ("bf16-mixed", True)), (False, ("32-true", False))])
def test_on_a_gpu_the_layout_goes_with_the_precision(
    fast: bool, expected: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "native_bf16", lambda device: fast)
    assert (settings.default_precision("cuda"), settings.default_channels_last("cuda")) == expected


@pytest.mark.parametrize("fast", [True, False])
def test_emulated_bf16_is_named(fit: Command, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "native_bf16", lambda device: fast)
    line = told(fit("--trainer.precision=bf16-mixed"))
    assert ("bf16-mixed (emulated here, --trainer.precision null is faster)" in line) is not fast


def test_what_was_chosen_is_written_down(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "native_bf16", lambda device: True)
    assert fit(*LEFT_OPEN[:2]).status == 0
    (file,) = Path("runs").glob("*/*/config.yaml")
    config = yaml.safe_load(file.read_text())
    assert config["trainer"]["precision"] == "bf16-mixed"
    assert config["model"]["init_args"]["channels_last"] is True


def test_options_have_the_last_word(fit: Command, allocator: list[str]) -> None:
    options = ["--machine.threads=1", "--machine.matmul_precision=medium", "--machine.allocator=system"]
    outcome = fit(*options, *LEFT_OPEN[:2], "--trainer.precision=32-true", "--model.channels_last=true")
    expected = "machine: 1 thread, 32-true, channels first, float32 products in medium precision"
    assert told(outcome) == f"{expected}, freed memory is left to the system"
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (1, "medium")
    assert not allocator


@pytest.mark.parametrize(("width", "layout"), [(4, "first"), (8, "last")])
def test_the_reported_layout_is_the_networks(width: int, layout: str, fit: Command) -> None:
    outcome = fit("--model=ResNetClassifier", f"--model.width={width}", "--model.channels_last=true")
    assert f"channels {layout}" in told(outcome)


def test_left_alone_it_is_as_torch_has_it(fit: Command, allocator: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    set_threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", set_threads.append)
    outcome = fit("--trainer.precision=32-true", "--model.channels_last=false", "--machine.threads=null")
    assert told(outcome).endswith("channels first, float32 products in highest precision, freed memory is kept")
    assert not set_threads  # the number that there is, set again, makes small products slower
    assert allocator == ["kept"]


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 4), ("max 100000", 4), ("", 4), (None, 4)],
)
def test_a_containers_quota_bounds_the_cores(quota: str | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if quota is not None:
        Path("cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(settings, "QUOTA", Path("cpu.max"))
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(4)), raising=False)
    assert settings.allowed_cores() == cores


def test_where_processes_are_not_bound_to_cores_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "QUOTA", Path("none"))
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert settings.allowed_cores() == 3


def test_a_gpu_that_is_not_chosen_is_no_matter_for_a_warning(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning.pytorch.trainer.setup.CUDAAccelerator.is_available", lambda: True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fit().status == 0
    assert not [warning for warning in caught if "GPU available" in str(warning.message)]


def test_an_accelerator_given_by_its_class(fit: Command) -> None:
    outcome = fit('--trainer.accelerator={"class_path": "lightning.pytorch.accelerators.CPUAccelerator"}')
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("option", ["threads=0", "threads=two", "allocator=none", "matmul_precision=low", "cores=2"])
def test_bad_options(fit: Command, option: str) -> None:
    outcome = fit(f"--machine.{option}")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert f"--machine.{option.partition('=')[0]}" in outcome.err


@pytest.mark.parametrize(("amx", "avx"), [(True, False), (False, True), (False, False)])
def test_instructions_for_bf16(amx: bool, avx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert settings.native_bf16("cpu") is (amx or avx)
    assert settings.native_bf16("mps") is False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_with_a_gpu_it_is_the_gpus() -> None:
    assert settings.device_type("auto") == "cuda"
    assert settings.native_bf16("cuda") is torch.cuda.is_bf16_supported(including_emulation=False)


@pytest.mark.parametrize(("there", "chosen", "expected"), [(False, None, ""), (False, "0", "0"), (True, None, None)])
def test_gpus_are_looked_for_once(
    there: bool, chosen: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    settings.Machine(allocator="system").prepare("cpu")
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected
