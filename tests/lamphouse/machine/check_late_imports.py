"""One way of using a module that is imported late; run by test_start.py with several versions of torch."""

# ruff: noqa: A001, PLC0415, PLW0603, PT017, PT018  # imports are what is tested

import sys

from lamphouse.machine.start import COMPILER, is_stand_in, run


def before() -> None:
    """Do what every training does, without the compiler."""
    import torch
    from lightning.fabric.wrappers import OptimizedModule
    from torch import nn

    global compiles, apart, network, optimizer

    def compiles() -> bool:
        return torch.compiler.is_compiling()

    apart = torch.compiler.disable(compiles)
    network = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert not apart()
    assert not isinstance(network, OptimizedModule)
    assert is_stand_in(COMPILER)


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


def main() -> None:
    before()
    WAYS[sys.argv[1]]()
    import torch

    assert not is_stand_in(COMPILER)
    assert sys.modules["torch._dynamo"] is torch._dynamo
    assert torch._dynamo.__file__
    assert torch._dynamo.utils.__file__


WAYS = {way.__name__: way for way in (compile, module, options, name)}

if __name__ == "__main__":
    run(main)
