"""Networks of torchvision, timm and other packages by name: pretrained weights, input channels and the head."""

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import signature
from typing import Any

import torch
from torch import Tensor, hub, nn
from torchvision import models

from lamphouse.errors import InputError

Options = Mapping[str, Any]
# whatever a network raises at options or images that it does not take
ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def torchvision_resnet(depth: int, width: int = 64) -> "models.ResNet":
    """Build torchvision's ResNet of depth 18, 34 or 50, whose stages begin with `width` channels instead of 64."""
    resnets = import_module("lamphouse.resnets")  # late: torchvision's networks are slow to import
    return resnets.ImageNetResNet(depth, width)


def build_network(
    name: str, input_shape: Sequence[int], num_classes: int, weights: str | None = None, options: Options | None = None
) -> nn.Module:
    """Build a network that maps images, [B, *input_shape], to logits, [B, num_classes].

    `name` is timm:NAME or the import path of a function or class that takes `num_classes` and `options`; pretrained
    `weights` have a name such as DEFAULT. The first convolution is adapted to the channels, the head to the classes.
    Raises an InputError if there is no such network, or if it rejects its options, the weights or the images.
    """
    option, builder, options = f"--model.network {name}", _find_builder(name), options or {}
    network = _call(builder, {**options, "num_classes": num_classes}, option, "see --model.network_args")
    if weights:
        network = _replace_head(load_pretrained(builder, weights, options), network)
    _adapt_channels(network, input_shape[0])
    _check_output(option, network, input_shape, num_classes)
    return network


def _find_builder(name: str) -> Callable[..., Any]:
    option, is_timm = f"--model.network {name}", name.startswith("timm:")
    module, _, attribute = ("timm.create_model" if is_timm else name).rpartition(".")
    if not module or module.partition(".")[0] in sys.stdlib_module_names:  # to import a module is to run it
        raise InputError(f"{option}: expected an import path such as torchvision.models.resnet18, or timm:NAME")
    try:
        builder = getattr(import_module(module), attribute)
    except (AttributeError, ImportError) as error:
        way_out = "install it with `pip install timm`" if is_timm else "name a function or class that is installed"
        raise InputError(f"{option}: {error}: {way_out}") from error
    try:
        signature(builder).bind_partial(num_classes=1)
    except (TypeError, ValueError) as error:  # not callable, without a signature, or without this parameter
        raise InputError(f"{option}: takes no num_classes: name what builds a classifier") from error
    return partial(builder, name.removeprefix("timm:")) if is_timm else builder


def _call(builder: Callable[..., Any], arguments: Options, option: str, way_out: str) -> nn.Module:
    try:
        network = builder(**arguments)
    except ERRORS as error:
        raise InputError(f"{option}: {' '.join(str(error).split())}: {way_out}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{option}: returns {type(network).__name__}, not a torch.nn.Module: {way_out}")
    return network


def load_pretrained(builder: Callable[..., Any], weights: str, options: Options | None = None) -> nn.Module:
    """Build a network with its pretrained weights; raise an InputError if there are none, or they do not fit."""
    option = f"--model.weights {weights}"
    try:
        argument, known = "weights", models.get_model_weights(builder).__members__
    except ValueError:  # not one of torchvision's; timm has one set of weights for each name
        argument, known = "pretrained", {"DEFAULT": True} if "pretrained" in signature(builder).parameters else {}
    if weights not in known:
        raise InputError(f"{option}: no such weights; there are {', '.join(known) or 'none'}")
    url = getattr(known[weights], "url", "")
    way_out = f"put {url} into {hub.get_dir()}/checkpoints" if url else "download them once with a network connection"
    with torch.random.fork_rng(devices=[]):  # the random numbers of the run do not depend on it
        return _call(builder, {**(options or {}), argument: known[weights]}, f"{option}: cannot be loaded", way_out)


def _replace_head(pretrained: nn.Module, network: nn.Module) -> nn.Module:
    """Replace the layers of a pretrained network that have another shape in `network`."""
    shapes = {name: parameter.shape for name, parameter in pretrained.named_parameters()}
    for layer in {n.rpartition(".")[0] for n, p in network.named_parameters() if shapes.get(n) != p.shape}:
        pretrained.set_submodule(layer, network.get_submodule(layer))
    return pretrained


def _adapt_channels(network: nn.Module, channels: int) -> None:
    convolution = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    if convolution is None or convolution.in_channels == channels or convolution.groups != 1:
        return
    # one channel gets the sum of the filters, as if a grey image were repeated; more repeat them, at the same scale
    filters, inputs = convolution.weight.detach(), convolution.in_channels
    repeated = filters[:, torch.arange(channels) % inputs] * (inputs / channels)
    convolution.weight = nn.Parameter(filters.sum(1, keepdim=True) if channels == 1 else repeated)
    convolution.in_channels = channels


def _check_output(option: str, network: nn.Module, input_shape: Sequence[int], num_classes: int) -> None:
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = copy.deepcopy(network)(torch.zeros(2, *input_shape))
    except ERRORS as error:
        reason = f"takes no images of {' by '.join(map(str, input_shape))} ({' '.join(str(error).split())})"
        raise InputError(f"{option}: {reason}: choose another size, or options by --model.network_args") from error
    if not isinstance(output, Tensor):
        way_out = """turn auxiliary outputs off, as by --model.network_args '{"aux_logits": false}'"""
        raise InputError(f"{option}: returns {type(output).__name__} in training, not logits: {way_out}")
    if output.shape != (2, num_classes):
        raise InputError(f"{option}: returns {list(output.shape)}, not [2, {num_classes}]: name a classifier")
