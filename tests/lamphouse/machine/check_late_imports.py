"""One way of using a module that is imported late; run by test_start.py with several versions of torch."""

# ruff: noqa: A001, PLC0415, PLW0603, PT017, PT018, S102  # imports are what is tested

import sys

from lamphouse.machine import late_modules, run
from lamphouse.machine.late_imports import is_stand_in
from lamphouse.machine.late_modules import ARNIQA, COMPILER, SHAPES, VISION


def before() -> None:
    """Do what every training does, without the compiler."""
    import torch
    from lightning.fabric.wrappers import OptimizedModule
    from torch import nn

    global compiles, apart, network, optimizer

    def compiles() -> bool:
        return torch.compiler.is_compiling()

    apart = torch.compiler.disable(compiles)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    order = torch.randperm(2, generator=torch.Generator().manual_seed(0))
    network(torch.ones(1, 2)[:, order]).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert not apart()
    assert not isinstance(network, OptimizedModule)
    assert is_stand_in(COMPILER)
    assert all(map(is_stand_in, SHAPES)) == (late_modules.release(torch) < late_modules.UNKNOWN)


def compile() -> None:
    import torch
    from lightning.fabric.wrappers import OptimizedModule

    both = torch.compile(lambda x: (x + 1, compiles(), apart()), backend="eager")
    assert both(torch.ones(2))[1:] == (True, False)
    compiled = torch.compile(network, backend="eager")
    assert isinstance(compiled, OptimizedModule)
    assert isinstance(compiled, torch._dynamo.OptimizedModule)
    assert not isinstance(network, OptimizedModule)
    optimizer.step()
    again = torch.compile(lambda x: (x + 1, torch.compiler.disable(compiles)()), backend="eager")
    assert again(torch.ones(2))[1] is False
    try:
        torch.compile(lambda x: x + 1 if apart() else x, backend="eager", fullgraph=True)(torch.ones(2))
    except torch._dynamo.exc.Unsupported as error:
        assert "disable" in str(error), error
    else:
        raise AssertionError("a disabled function is in the graph")


def disabled() -> None:
    """What is disabled is what torch makes of it, and ends when nothing else holds it."""
    import gc
    import weakref

    import torch
    import torch._dynamo as held
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loss = torch.compiler.disable(self.compute)

        def compute(self) -> int:
            return 1

    model = Model()
    assert model.loss() == 1
    ended = weakref.ref(model)
    del model
    gc.collect()
    assert ended() is None
    held.graph_break(msg="of no effect")
    assert is_stand_in(COMPILER)
    layer = torch.compiler.disable(nn.Linear(2, 2))
    assert len([*layer.parameters()]) == 2
    assert held.graph_break is sys.modules["torch._dynamo"].graph_break


def module() -> None:
    import torch
    import torch._dynamo.trace_rules as rules

    assert rules is sys.modules[rules.__name__] is torch._dynamo.convert_frame.trace_rules
    assert rules.__spec__.origin == rules.__file__
    from torch._dynamo.backends import registry

    assert "inductor" in registry.list_backends()


def options() -> None:
    import torch._dynamo.config

    assert torch._dynamo.config is sys.modules["torch._dynamo.config"] is torch._dynamo.convert_frame.config
    assert torch._dynamo.config.recompile_limit


def name() -> None:
    import torch
    from torch._dynamo import reset
    from torch._dynamo.utils import counters

    reset()
    assert sys.modules["torch._dynamo.utils"].counters is counters is torch._dynamo.convert_frame.counters
    for look_up in (lambda: torch._dynamo.nothing, lambda: __import__("torch._dynamo.nothing")):
        try:
            look_up()
        except (AttributeError, ModuleNotFoundError) as error:
            assert "torch._dynamo" in str(error) and "nothing" in str(error), error
        else:
            raise AssertionError("there is no such name")


def shapes() -> None:
    """The first tensor without data brings the rules, wherever it comes from."""
    import torch
    from torch import nn

    with torch.device("meta"):
        images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert not any(map(is_stand_in, SHAPES))
    images(torch.ones(2, 3, 8, 8, device="meta")).sum().backward()
    assert images[0].weight.grad.shape == (4, 3, 3, 3)
    assert torch.empty_strided((2, 3), (3, 1), device="meta").t().stride() == (1, 3)


def newer() -> None:
    """A torch that no test has seen imports the rules itself."""
    import torch

    assert torch.empty(2, device="meta").shape == (2,)


def moved() -> None:
    import torch
    from torch import nn

    tokens = nn.TransformerEncoderLayer(8, 2, batch_first=True).to("meta")
    assert tokens(torch.ones(1, 3, 8).to("meta")).shape == (1, 3, 8)


def fake() -> None:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert torch.nn.Conv2d(3, 4, 3)(torch.ones(2, 3, 8, 8)).shape == (2, 4, 6, 6)


def parts() -> None:
    import torch

    assert torch._decomp.decomposition_table
    assert sys.modules["torch._refs"] is torch._refs
    assert torch.ops.prims.sin(torch.zeros(1)) == 0


def derivative() -> None:
    import torch

    assert torch.func.jvp(torch.tanh, (torch.zeros(1),), (torch.ones(1),))[1] == 1


def held() -> None:
    """A stand-in that someone holds is like the module."""
    import inspect
    from importlib.util import find_spec
    from unittest import mock

    import torchvision
    from torchvision import datasets, models, ops

    assert find_spec("torchvision.models.resnet").name == "torchvision.models.resnet"
    assert find_spec("torchvision.models.nothing") is None
    assert all(map(is_stand_in, VISION))
    assert "box_iou" in inspect.getsource(ops)
    assert models.__dict__["resnet18"] is sys.modules["torchvision.models"].resnet18
    assert {name for name in models.__dict__ if name.startswith("vgg")} <= set(dir(models))
    with mock.patch.object(datasets, "MNIST", list):
        assert torchvision.datasets.MNIST() == []
    assert inspect.isclass(torchvision.datasets.MNIST)
    ops.mine = 5
    assert torchvision.ops.mine == 5
    import torch

    torch.empty(2, device="meta")


def vision() -> None:
    import torch
    import torchmetrics.functional.image as metrics
    import torchvision
    from torchvision import models

    assert all(map(is_stand_in, VISION))
    names: dict[str, object] = {}
    exec("from torchvision.datasets import *; from torchvision.models import *", names)
    assert {"MNIST", "resnet18", "ResNet18_Weights"} <= set(names)
    assert names["resnet18"] is models.resnet18 is sys.modules["torchvision.models.resnet"].resnet18
    assert torchvision.ops.box_iou
    if hasattr(metrics, "arniqa"):  # since torchmetrics 1.7, and so is the other
        assert sys.modules[ARNIQA]._ARNIQA
        assert metrics.arniqa is sys.modules[ARNIQA].arniqa
        assert metrics.dists.DISTSNetwork
    images, boxes = torch.ones(1, 3, 8, 8, device="meta"), torch.ones(1, 5, device="meta")
    assert torchvision.ops.roi_align(images, boxes, 2).shape == (1, 3, 2, 2)


def main() -> None:
    if sys.argv[1] == "newer":
        late_modules.UNKNOWN = (2, 7)
    before()
    WAYS[sys.argv[1]]()
    import torch

    if sys.argv[1] in COMPILES:
        assert not is_stand_in(COMPILER)
        assert sys.modules["torch._dynamo"] is torch._dynamo
        assert torch._dynamo.__file__
        assert torch._dynamo.utils.__file__
    assert not any(map(is_stand_in, SHAPES))
    assert sys.modules["torch._decomp"] is torch._decomp


COMPILES = {way.__name__: way for way in (compile, disabled, module, options, name)}
WAYS = COMPILES | {way.__name__: way for way in (shapes, newer, moved, fake, parts, derivative, held, vision)}

if __name__ == "__main__":
    run(main)
