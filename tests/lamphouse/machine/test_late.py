"""Modules loaded late: torch's compiler does what it does otherwise, from when it is used."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from lamphouse.machine import start

BEGIN = """
import sys
from lamphouse.machine import start
start.load_late()
import torch
from lightning.fabric.wrappers import OptimizedModule
from torch import nn

def compiles():
    return torch.compiler.is_compiling()

apart = torch.compiler.disable(compiles)
network = nn.Linear(2, 2)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
network(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
assert not apart()
assert not isinstance(network, OptimizedModule)
assert start.waits("torch._dynamo")
"""
COMPILED = """
both = torch.compile(lambda x: (x + 1, compiles(), apart()), backend="eager")
assert both(torch.ones(2))[1:] == (True, False)
compiled = torch.compile(network, backend="eager")
assert isinstance(compiled, OptimizedModule)
assert isinstance(compiled, torch._dynamo.OptimizedModule)
assert not isinstance(network, OptimizedModule)
optimizer.step()
again = torch.compile(lambda x: (x + 1, torch.compiler.disable(compiles)()), backend="eager")
assert again(torch.ones(2))[1] is False
"""
WHOLE_GRAPH = """
try:
    torch.compile(lambda x: x + 1 if apart() else x, backend="eager", fullgraph=True)(torch.ones(2))
except torch._dynamo.exc.Unsupported as error:
    assert "disable" in str(error), error
else:
    raise AssertionError("what is left out is in the graph")
"""
MODULE_WITHIN = """
import torch._dynamo.trace_rules as rules
assert rules is sys.modules[rules.__name__] is torch._dynamo.convert_frame.trace_rules
assert rules.__spec__.origin == rules.__file__
import torch._dynamo.backends.registry as registry
assert "inductor" in registry.list_backends()
"""
OPTIONS_WITHIN = """
import torch._dynamo.config
assert torch._dynamo.config is sys.modules["torch._dynamo.config"] is torch._dynamo.convert_frame.config
assert torch._dynamo.config.recompile_limit
"""
NAME_WITHIN = """
from torch._dynamo.utils import counters
from torch._dynamo import reset
reset()
assert sys.modules["torch._dynamo.utils"].counters is counters is torch._dynamo.convert_frame.counters
"""
MISSING = """
import torch._dynamo
for look in (lambda: torch._dynamo.nothing, lambda: __import__("torch._dynamo.nothing")):
    try:
        look()
    except (AttributeError, ModuleNotFoundError) as error:
        assert "torch._dynamo" in str(error) and "nothing" in str(error), error
    else:
        raise AssertionError("there is nothing there")
"""
REAL = """
assert not start.waits("torch._dynamo")
assert sys.modules["torch._dynamo"] is torch._dynamo
assert torch._dynamo.__file__
assert torch._dynamo.utils.__file__
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "uses",
    [(COMPILED, WHOLE_GRAPH), (MODULE_WITHIN,), (OPTIONS_WITHIN,), (NAME_WITHIN, MISSING)],
    ids=["compile", "module", "options", "name"],
)
def test_the_compiler_is_loaded_when_it_is_used(uses: tuple[str, ...]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", "\n".join([BEGIN, *uses, REAL])]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_that_are_there_stay() -> None:
    there = [import_module("torch._dynamo"), import_module("torchmetrics.utilities.plot")]
    start.load_late()
    assert [sys.modules[module.__name__] for module in there] == there
