"""Whatever a user gets wrong: one line that says what and what to do, status 2, and nothing written."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, Outcome
from fake_data import expect_cifar10, expect_mnist, write_cifar10, write_folder, write_image, write_mnist
from torchvision import datasets

from lamphouse.checkpoints.files import load_checkpoint

NOWHERE = "http://127.0.0.1:9/"  # nothing listens on the discard port
Command = Callable[..., Outcome]


def entries() -> set[Path]:
    return {path for path in Path().rglob("*") if path.parts[0] != ".cache"}


def files() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in entries() if path.is_file()}


def assert_refused(command: Command, args: list[object], *words: str) -> None:
    """The command writes one line on stderr that has these words, exits with 2, and leaves every file as it is."""
    before, paths = files(), entries()
    outcome = command(*args)
    assert outcome.status == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    assert len(outcome.err) < 500
    assert outcome.out == ""
    for word in words:
        assert word in outcome.err
    assert files() == before
    assert entries() == paths


OPTIONS = {
    # misspelt
    "--trainer.max_epoch 2": ["did you mean --trainer.max_epochs?"],
    "--model.hidden_size [8]": ["did you mean hidden_sizes?"],
    "--model.lr_scheduler torch.optim.lr_scheduler.ReduceLROnPlateau": ["did you mean ReduceLROnPlateau?"],
    "--trainer.callbacks EarlyStoping": ["--trainer.callbacks EarlyStoping", "did you mean EarlyStopping?"],
    "--model MLPClasifier": ["did you mean MLPClassifier?"],
    "--model.optimizer AdmW": ["did you mean AdamW?"],
    "--logger wand": ["did you mean wandb?"],
    # that train nothing, or too much
    "--trainer.barebones true": ["--trainer.barebones True", "leave it out"],
    "--trainer.enable_checkpointing false": ["--trainer.enable_checkpointing False", "leave it out"],
    "--best_checkpoint.save_last true": ["--best_checkpoint.save_last True", "last.ckpt is the run's own"],
    "--best_checkpoint.save_top_k 0": ["--best_checkpoint.save_top_k 0", "expected a value >=1"],
    "--best_checkpoint.every_n_epochs 0": ["--best_checkpoint.every_n_epochs 0", ">=1"],
    "--best_checkpoint.every_n_train_steps 5": ["--best_checkpoint.every_n_train_steps 5", "after each validation"],
    "--trainer.limit_train_batches 0": ["--trainer.limit_train_batches 0", "nothing would be trained"],
    "--trainer.max_steps 0": ["--trainer.max_steps 0", "nothing would be trained"],
    "--trainer.max_time 00:00:00:00": ["--trainer.max_time 00:00:00:00: expected", "more than none"],
    "--machine.threads 100000": ["--machine.threads 100000", "cores"],
    # no local paths
    "--runs s3://bucket/runs": ["--runs s3://bucket/runs: a URL: ", "mount"],
    "--trainer.callbacks ModelCheckpoint --trainer.callbacks.dirpath gs://b/c": ["callbacks.dirpath gs://b/c: a URL"],
    "--runs ${NOWHERE}/runs": ["--runs ${NOWHERE}/runs", "set it"],
    # unknown
    "--trainer.max_epoch 3": ["--trainer.max_epoch 3", "--help"],
    "--foo": ["--foo", "--help"],
    "--model.lr 0.1": ["--model.lr 0.1", "no such option"],
    "--model.optimizer.foo 1": ["--model.optimizer.foo 1", "no such option"],
    "stray": ["stray"],
    "--model Foo": ["--model Foo", "name of a class"],
    "--data MLPClassifier": ["--data MLPClassifier", "class"],
    "--model.optimizer Foo": ["--model.optimizer Foo", "name of a class"],
    "--data.augment+=Foo": ["--data.augment Foo"],
    "--logger foo": ["--logger foo", "wandb", "tensorboard"],
    "--trainer.logger Foo": ["--trainer.logger", "choose a logger with --logger wandb"],
    "--trainer.logger CSVLogger --trainer.logger.save_dir x": ["--trainer.logger", "choose a logger with --logger"],
    "--trainer.strategy foo": ["--trainer.strategy foo: no such strategy; there are auto"],
    "--trainer.precision transformer-engine": ["--trainer.precision transformer-engine: ", "use bf16-mixed"],
    "--trainer.precision 17": ["--trainer.precision 17", "bf16-mixed"],
    "--model.activation foo": ["--model.activation foo", "relu"],
    "--early_stopping.monitor test/loss": ["--early_stopping.monitor test/loss", "val/loss"],
    "--best_checkpoint.monitor val/loss --best_checkpoint.mode max": ["--best_checkpoint.mode max", "use min"],
    "--model.lr_scheduler ReduceLROnPlateau --model.lr_scheduler.monitor val/f": ["lr_scheduler.monitor val/f", "acc"],
    "--best_checkpoint.monitor typo": ["--best_checkpoint.monitor typo", "val/acc"],
    # of the wrong type
    "--trainer.max_epochs x": ["--trainer.max_epochs x", "int"],
    "--trainer.callbacks EarlyStopping": ["--trainer.callbacks: missing: --trainer.callbacks.monitor"],
    "--early_stopping null": ["--early_stopping: ", "--stop_early false"],
    "--trainer.max_epochs": ["--trainer.max_epochs", "expected one argument"],
    "--model.optimizer.lr 0,1": ["--model.optimizer.lr 0,1: expected float; did you mean 0.1?"],
    "--model.hidden_sizes 3": ["--model.hidden_sizes 3", "list"],
    "--model.compile maybe": ["--model.compile maybe", "bool"],
    # out of range
    "--trainer.max_epochs 0": ["--trainer.max_epochs 0", ">=1"],
    "--trainer.max_epochs 3 --trainer.min_epochs 5": ["--trainer.min_epochs 5", "--trainer.max_epochs 3"],
    "--trainer.max_steps -5": ["max_steps", "-5"],
    "--trainer.accumulate_grad_batches 0": ["--trainer.accumulate_grad_batches 0", ">=1"],
    "--trainer.gradient_clip_val -1": ["--trainer.gradient_clip_val -1", ">=0"],
    "--trainer.limit_train_batches 1.5": ["--trainer.limit_train_batches 1.5: "],
    "--trainer.gradient_clip_algorithm foo": ["--trainer.gradient_clip_algorithm foo: ", "norm"],
    "--trainer.devices -3": ["--trainer.devices -3: "],
    "--early_stopping.patience -1": ["--early_stopping.patience -1", ">=0"],
    "--best_checkpoint.save_top_k -3": ["save_top_k", "-3"],
    "--seed_everything 4294967296": ["--seed_everything 4294967296", "<4294967296"],
    "--data.batch_size 0": ["--data.batch_size 0", ">0"],
    "--data.val_fraction 0": ["--data.val_fraction 0", ">0"],
    "--model.dropout 1.1": ["--model.dropout 1.1", "<=1"],
    "--model.optimizer.lr -1": ["--model.optimizer", "learning rate: -1"],
    "--model.lr_scheduler.warmup 2": ["--model.lr_scheduler.warmup 2", "<=1"],
    "--model.lr_scheduler StepLR": ["--model.lr_scheduler", "step_size"],
    "--model.lr_scheduler StepLR --model.lr_scheduler.step_size 0": ["--model.lr_scheduler.step_size 0", ">=1"],
    "--model.lr_scheduler ExponentialLR --model.lr_scheduler.gamma -1": ["--model.lr_scheduler", "learning rate of -"],
    "--model.optimizer SparseAdam": ["--model.optimizer", "dense gradients"],
    "--model.optimizer.lr 1e300": ["--model.optimizer", "overflow"],
    "--trainer.val_check_interval 0": ["--trainer.val_check_interval 0", ">="],
    "--data.batch_size 99999999999999999999": ["--data.batch_size", "up to"],
    "--data.augment+=RandomCrop --data.augment.padding 9 --data.augment.reflect true": ["--data.augment", "9"],
    "--data.augment+=RandomResizedCrop --data.augment.max_ratio 0.5": ["--data.augment.max_ratio 0.5", ">=1"],
    "--model ResNetClassifier --model.depth 9": ["--model.depth 9", "18"],
    # against each other
    "--model.num_classes 5": ["--model.num_classes 5", "the data has 10"],
    "--model.hidden_sizes [8] --data.augment+=SmallFirst": ["--data.augment", "no images of 6 by 6", "leave out"],
    "--model.input_shape [1,28,28]": ["--model.input_shape [1, 28, 28]", "the data has [1, 8, 8]"],
    "--model ResNetClassifier --model.depth 20 --model.stem large": ["depth 20", "large stem", "18"],
    "--model ResNetClassifier --model.depth 18 --model.weights DEFAULT": ["weights 'DEFAULT'", "1 channel"],
    "--data ImageFolderDataModule": ["--data", "missing: --data.root"],
    # absent
    "--trainer.accelerator tpu": ["--trainer.accelerator tpu", "use auto or cpu"],
    # directories that are none
    "--experiment a/b": ["--experiment a/b"],
    "--experiment ../../elsewhere": ["--experiment ../../elsewhere"],
}


@pytest.mark.parametrize(("options", "words"), OPTIONS.items(), ids=OPTIONS.keys())
def test_options(fit: Command, options: str, words: list[str]) -> None:
    assert_refused(fit, list(options.split()), "arc_light fit: ", *words)


@pytest.mark.parametrize("accelerator", ["cuda", "gpu"])
def test_an_absent_accelerator(fit: Command, accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("CUDA", "MPS"):
        monkeypatch.setattr(f"lightning.pytorch.accelerators.{name}Accelerator.is_available", lambda: False)
    words = f"--trainer.accelerator {accelerator}: this machine has cpu; use auto or cpu"
    assert_refused(fit, [f"--trainer.accelerator={accelerator}"], words)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "--trainer.devices=2",
            "the environment has started 1 on 1 node (SLURM): give --trainer.devices auto",
        ),
        ("--trainer.num_nodes=2", "the environment has started 1 on 1 node (SLURM): give --trainer.num_nodes 1"),
    ],
)
def test_other_processes_than_there_are(fit: Command, monkeypatch: pytest.MonkeyPatch, option: str, words: str) -> None:
    names = {"JOB_ID": "1", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "NTASKS": "1"}
    for name, value in {**names, "NNODES": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert_refused(fit, [option], f"{option.replace('=', ' ')}: {words}")


def test_processes_that_nobody_starts(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(fit, ["--trainer.num_nodes=2"], "--trainer.num_nodes 2: ", "torchrun --nnodes 2", "srun")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused(fit, [], "WORLD_SIZE=2: ", "train with 1", "torchrun")


def test_a_command_of_one_process_started_by_torchrun(arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert_refused(arc, ["compare"], "torchrun has started 2: start it by itself")


@pytest.mark.parametrize("args", [["foo"], ["--foo"], ["train", "-c", "x.yaml"]])
def test_an_unknown_command(arc: Command, args: list[object]) -> None:
    assert_refused(arc, args, str(args[0]), "there are fit, resume, evaluate, ")


def test_without_an_experiment(arc: Command) -> None:
    assert_refused(arc, ["fit"], "missing", "data", "model")


YAML = {
    "missing": (None, "no such file"),
    "junk": (b"a: [1,\n", "not a readable YAML file"),
    "binary": (b"\xff\xfe\x00\x01", "not a readable YAML file"),
    "a list": (b"- 1\n", "not a YAML file of options"),
    "an unknown option": (b"trainer: {max_epoch: 3}\n", "max_epoch"),
    "an unknown part": (b"foo: 3\n", "foo"),
    "a wrong type": (b"trainer: {max_epochs: many}\n", "--trainer.max_epochs many"),
    "a float": (b"data: {init_args: {batch_size: 64.5}}\n", "--data.batch_size 64.5: expected int;"),
    "a comma": (b"model: {init_args: {optimizer: {init_args: {lr: '0,1'}}}}\n", "optimizer.lr 0,1: expected float;"),
    "a level too high": (b"model: {class_path: MLPClassifier, hidden_sizes: [8]}\n", ": model.init_args.hidden_sizes"),
    "no early stopping": (b"early_stopping: null\n", "--stop_early false"),
    "two loggers": (b"logger: [wandb, csv]\n", "--logger ['wandb', 'csv']: expected wandb, tensorboard,"),
}


@pytest.mark.parametrize(("content", "words"), YAML.values(), ids=YAML.keys())
def test_a_wrong_yaml_file(fit: Command, content: bytes | None, words: str) -> None:
    if content is not None:
        Path("mine.yaml").write_bytes(content)
    named = ["mine.yaml"] if "file" in words else []
    assert_refused(fit, ["-c", "mine.yaml"], words, *named)


def test_an_unknown_experiment_names_those_that_there_are(arc: Command) -> None:
    question = f"did you mean {CONFIGS / 'digits_mlp.yaml'}?"
    assert_refused(arc, ["fit", "-c", CONFIGS / "digit_mlp.yaml"], "digit_mlp.yaml: no such file", question)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("\nimport nowhere", ["own: cannot be imported: own.py:2: ModuleNotFoundError: No module named 'nowhere'"]),
        ("\nclass Mine(:", ["own: cannot be imported: own.py:2: SyntaxError"]),
        ("\nMine = Base", ["own: cannot be imported: own.py:2: NameError: name 'Base' is not defined"]),
        ("Other = 1", ["own has no Mine"]),
    ],
)
@pytest.mark.parametrize("option", ["--model", "--model.optimizer"])
def test_a_module_that_fails(fit: Command, own: Callable[[str], str], option: str, code: str, words: list[str]) -> None:
    assert_refused(fit, [option, own(code)], *words)


def test_data_without_classes(fit: Command, own: Callable[[str], str]) -> None:
    data = own("from lightning.pytorch.demos.boring_classes import BoringDataModule as Mine")
    assert_refused(fit, ["--data", data], "--model.num_classes: the data has none: give the option")


SIZES = """
from arc_light.models.mlp import MLPClassifier
class Mine(MLPClassifier):
    def __init__(self, hidden_sizes: list[int], **options):
        super().__init__(hidden_sizes, **options)
"""


def test_numbers_of_an_experiment_go_to_an_owners_class(fit: Command, own: Callable[[str], str]) -> None:
    assert fit("--model", own(SIZES)).status == 0


@pytest.mark.parametrize(("code", "words"), [("{}['k']", "KeyError: 'k'"), ("raise ValueError('mine')", "mine")])
def test_an_error_in_an_owners_model_names_its_line(
    fit: Command, own: Callable[[str], str], code: str, words: str
) -> None:
    assert_refused(fit, ["--model", own(f"{SIZES}        {code}")], f"arc_light fit: own.py:6: {words}")


def test_what_torch_refuses_of_an_owners_model_names_its_line(fit: Command, own: Callable[[str], str]) -> None:
    model = own("""
from torch.optim import SGD
from arc_light.models.mlp import MLPClassifier
class Mine(MLPClassifier):
    def configure_optimizers(self):
        return SGD(self.parameters(), nesterov=True)
""")
    outcome = fit("--model", model)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "Nesterov momentum requires a momentum and zero dampening (ValueError from own.py:6)" in outcome.err


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOWHERE])
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{NOWHERE}cifar-10-python.tar.gz")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("experiment", "folder"), [("mnist_mlp", "MNIST/raw"), ("cifar10_mlp", "cifar-10-batches-py")])
def test_no_network(fit: Command, experiment: str, folder: str) -> None:
    Path("data", folder).mkdir(parents=True)
    assert_refused(
        partial(fit, experiment=experiment),
        [],
        "cannot be downloaded",
        f"put its files into data/{folder}",
    )


@pytest.mark.parametrize(
    ("experiment", "name"),
    [("mnist_mlp", "MNIST/raw/t10k-images-idx3-ubyte"), ("cifar10_mlp", "cifar-10-batches-py/test_batch")],
)
def test_a_damaged_data_file(fit: Command, experiment: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_mnist(monkeypatch, write_mnist(Path("data")))
    expect_cifar10(monkeypatch, write_cifar10(Path("data")))
    path = Path("data", name)
    path.write_bytes(path.read_bytes()[:-9])
    assert_refused(partial(fit, experiment=experiment), [], f"data/{name}: damaged", "delete it")


def test_a_folder_of_images_that_is_missing(fit: Command) -> None:
    assert_refused(
        partial(fit, experiment="folder_resnet"),
        [],
        "data/images: no folder of images",
        "one folder of images per",
    )


@pytest.mark.parametrize("part", ["", "test"])
def test_an_unreadable_image(fit: Command, part: str) -> None:
    root = write_folder(Path("images", "train")).parent if part else write_folder(Path("images"))
    write_folder(root / "test") if part == "test" else None
    (root / part / "dog" / "bad.png").write_bytes(b"no image")
    assert_refused(
        partial(fit, experiment="folder_resnet"),
        ["--data.root=images"],
        "dog/bad.png: not a readable image",
        "replace or remove it",
    )


def test_weights_without_a_network(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise OSError(111, "Connection refused")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    options = ["--model.depth=18", "--model.weights=DEFAULT", "--data.image_size=8", "--data.root=images"]
    write_folder(Path("images"))
    assert_refused(
        partial(fit, experiment="folder_resnet"),
        [*options],
        "--model.weights DEFAULT: cannot be loaded",
        "Connection refused",
    )


def empty(path: Path) -> None:
    path.write_bytes(b"")


def junk(path: Path) -> None:
    path.write_bytes(b"no checkpoint" * 100)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Flip a bit in the middle of the largest tensor."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    path.write_bytes(content)


def another_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def foreign(path: Path) -> None:
    torch.save({"model": torch.zeros(3)}, path)


def bare_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


def with_code(path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": {}, "code": print}, path)


def missing(path: Path) -> None:
    path.unlink()


def another_models(path: Path) -> None:
    checkpoint = dict(load_checkpoint(path))
    checkpoint["state_dict"] = {"other.weight": torch.zeros(3)}
    torch.save(checkpoint, path)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [empty, junk, cut, flip, another_zip, foreign, bare_tensor, with_code, missing, another_models, a_directory]


@pytest.mark.parametrize(
    ("command", "damage"),
    [*(("evaluate", damage) for damage in DAMAGES), ("predict", cut), ("predict", another_models), ("resume", junk)],
)
def test_a_checkpoint_that_is_none(arc: Command, trained: Path, command: str, damage: Callable[[Path], None]) -> None:
    name = "last" if command == "resume" else "best"
    damage(trained / f"{name}.ckpt")
    (trained / "previous.ckpt").unlink()
    image = write_image(Path("image.png"))
    more = {"predict": ["--input", image], "resume": ["--trainer.max_epochs=3"]}.get(command, [])
    assert_refused(arc, [command, "--run", trained, *more], f"{name}.ckpt: ")


def test_another_projects_checkpoint(arc: Command, trained: Path) -> None:
    """A model of other sizes, saved by Lightning."""
    checkpoint = dict(load_checkpoint(trained / "best.ckpt"))
    checkpoint["state_dict"] = {name: tensor[:1] for name, tensor in checkpoint["state_dict"].items()}
    torch.save(checkpoint, "other.ckpt")
    write_image(Path("image.png"))
    assert_refused(
        arc, ["predict", "--run", trained, "--input", "image.png", "--checkpoint", "other.ckpt"], "other.ckpt"
    )


@pytest.mark.parametrize(
    ("command", "kind"), [("evaluate", "missing"), ("predict", "empty"), ("resume", "a file"), ("resume", "missing")]
)
def test_a_run_that_is_none(arc: Command, command: str, kind: str) -> None:
    path = Path("runs", "mine")
    path.parent.mkdir()
    if kind == "empty":
        path.mkdir()
    elif kind == "a file":
        path.write_text("no run")
    more = ["--input", write_image(Path("image.png"))] if command == "predict" else []
    words = f"arc_light {command}: runs/mine: no run", "give the directory"
    assert_refused(arc, [command, "--run", path, *more], *words)
    assert_refused(arc, [command, "--run", "rns", *more], "did you mean runs?")


@pytest.mark.parametrize(
    ("command", "content"), [("evaluate", b""), ("evaluate", b"a: ["), ("evaluate", b"foo: 1"), ("resume", b"- 1")]
)
def test_a_damaged_config(arc: Command, trained: Path, command: str, content: bytes) -> None:
    (trained / "config.yaml").write_bytes(content)
    assert_refused(arc, [command, "--run", trained])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--input", "nowhere"], ["--input nowhere", "no image file"]),
        (["--input", "text.png"], ["text.png: not a readable image"]),
        ([], ["--input"]),
        (["--input", "text.png", "--top", "0"], ["--top: 0"]),
        (["--input", "text.png", "--top", "x"], ["--top", "x"]),
        (["--input", "text.png", "--foo", "3"], ["--foo 3"]),
        (["--input", "text.png", "--checkpoint", "x.ckpt"], ["x.ckpt: no such checkpoint"]),
    ],
)
def test_predict(arc: Command, trained: Path, args: list[object], words: list[str]) -> None:
    if "text.png" in args:
        Path("text.png").write_text("no image")
    assert_refused(arc, ["predict", "--run", trained, *args], *words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["--trainer.max_epochs 2", "2 epochs already", "larger number"]),
        (["--trainer.max_epochs=3", "--model.optimizer.lr=0.5"], ["--model", "was 0.01", " fit -c "]),
        (["--trainer.max_epochs=3", "--data.batch_size=3"], ["--data", "was 128", " fit -c "]),
        (["--foo=3"], ["--foo"]),
    ],
)
def test_resume(arc: Command, trained: Path, args: list[object], words: list[str]) -> None:
    assert_refused(arc, ["resume", "--run", trained, *args], *words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--model.num_classes=3"], ["--model.num_classes 3", "the data has 10"]),
        (["--model.hidden_sizes=[3]"], ["best.ckpt", "does not fit"]),
        (["--data=MNISTDataModule"], ["its model takes inputs [1, 8, 8], the data has [1, 28, 28]"]),
        (["--checkpoint=nowhere"], ["nowhere: no such checkpoint"]),
    ],
)
def test_evaluate(arc: Command, trained: Path, args: list[object], words: list[str]) -> None:
    assert_refused(arc, ["evaluate", "--run", trained, *args], *words)


def full_disk(*args: object, **options: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("written", ["pathlib.Path.mkdir", "os.fsync"])
def test_a_full_disk_at_the_start(fit: Command, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs", "digits_mlp").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(written, full_disk)
        outcome = fit()
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert "No space left on device" in outcome.err
    assert "--runs" in outcome.err
    assert list(Path("runs", "digits_mlp").iterdir()) == []


def test_a_full_disk_when_a_checkpoint_is_written(arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (trained / "last.ckpt").read_bytes()
    monkeypatch.setattr("lamphouse.checkpoints.files.save", full_disk)
    outcome = arc("resume", "--run", trained, "--trainer.max_epochs=3")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert "No space left on device" in outcome.err
    assert (trained / "last.ckpt").read_bytes() == before


def test_a_full_disk_leaves_the_predictions_of_before(
    arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trained / "predictions.csv").write_text("of before")
    image = write_image(Path("image.png"))
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full_disk)
        outcome = arc("predict", "--run", trained, "--input", image)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert f"--output {trained}/predictions.csv: No space left on device: choose another file" in outcome.err
    assert outcome.out.startswith("image.png   ")  # so that what was computed is not lost
    assert (trained / "predictions.csv").read_text() == "of before"


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), PermissionError(13, "Permission denied")])
def test_runs_that_cannot_be_written(fit: Command, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert_refused(fit, [], "runs/digits_mlp/", str(error.strerror), "--runs")


def test_runs_in_a_file(fit: Command) -> None:
    Path("runs").write_text("a file")
    assert_refused(fit, [], "runs/digits_mlp/", "--runs")
