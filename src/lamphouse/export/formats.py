"""The formats of exported models: each is written, read back, and compared with the model on real inputs."""

import io
import json
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from lamphouse.errors import InputError
from lamphouse.export.deployed import Deployed, largest_difference

LARGEST_DIFFERENCE = 1e-4  # between probabilities of the model and of what was exported
MISSING = "needs packages that are not installed ({}): install them with `make extra EXTRA=export`"

Content = tuple[bytes, Callable[[Tensor], Tensor]]  # a file's, and the model that was read back from it


def export(file_format: str, deployed: Deployed, inputs: Tensor) -> tuple[bytes, float]:
    """Return a model's file in one of the `FORMATS`, and its largest difference from the model on some inputs.

    Args:
        file_format: "onnx", "pt2" or "safetensors".
        deployed: what is exported; the size of its batches stays open, but for weights.
        inputs: real ones, [N, ...]; with 64 or more of them, all batch sizes are compared.

    Raises:
        InputError: packages are missing, the model cannot be exported, or what was exported computes something else.
    """
    option = f"--format {file_format}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters, about their own future
            content, other = FORMATS[file_format](deployed, inputs)
            difference = largest_difference(deployed, other, inputs)
    except ImportError as error:
        raise InputError(f"{option}: {MISSING.format(error.name or error)}") from error
    except Exception as error:  # a model may do anything, and exporters raise all kinds of errors
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        what = f"{type(deployed.model).__name__} cannot be exported"
        raise InputError(f"{option}: {what}: {reason}: try another format, or change the model") from error
    if not difference <= LARGEST_DIFFERENCE:
        reason = f"differs from the checkpoint by {difference:.1e}, more than {LARGEST_DIFFERENCE:.0e}"
        raise InputError(f"{option}: the exported model {reason}: try another format")
    return content, difference


def _program(deployed: Deployed, inputs: Tensor) -> Any:
    example = inputs[:2] if len(inputs) > 1 else torch.cat([inputs, inputs])  # a batch of one would fix its size
    return torch.export.export(deployed, (example,), dynamic_shapes={"inputs": {0: torch.export.Dim("batch")}})


def _pt2(deployed: Deployed, inputs: Tensor) -> Content:
    file = io.BytesIO()
    torch.export.save(_program(deployed, inputs), file, extra_files={"classes.json": json.dumps(deployed.classes)})
    content = file.getvalue()
    return content, torch.export.load(io.BytesIO(content)).module()


def _onnx(deployed: Deployed, inputs: Tensor) -> Content:
    import onnx  # noqa: PLC0415  # an extra
    import onnxruntime  # noqa: PLC0415
    import onnxscript  # noqa: F401, PLC0415  # torch's exporter uses it

    names: Any = {"input_names": ["inputs"], "output_names": [deployed.output]}
    exported: Any = torch.onnx.export(_program(deployed, inputs), dynamo=True, verbose=False, **names)
    model = exported.model_proto
    if deployed.classes:
        _add_label(onnx, model, deployed.classes)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # torch makes up a name
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run([deployed.output], {"inputs": batch.numpy()})[0])

    return content, run


def _add_label(onnx: Any, model: Any, classes: list[str]) -> None:
    """Add a second output, `label`, with the name of the most probable class."""
    helper, text, names = onnx.helper, onnx.TensorProto.STRING, [name.encode() for name in classes]
    model.graph.initializer.append(helper.make_tensor("classes", text, [len(names)], names))
    model.graph.node.append(helper.make_node("ArgMax", ["probabilities"], ["class_index"], axis=1, keepdims=0))
    model.graph.node.append(helper.make_node("Gather", ["classes", "class_index"], ["label"]))
    model.graph.output.append(helper.make_tensor_value_info("label", text, ["batch"]))


def _safetensors(deployed: Deployed, inputs: Tensor) -> Content:  # noqa: ARG001  # as the others
    from safetensors.torch import load, save  # noqa: PLC0415  # an extra

    state = {name: tensor.clone().contiguous() for name, tensor in deployed.model.state_dict().items()}
    content = save(state, {"format": "pt", "classes": json.dumps(deployed.classes)})
    other = deepcopy(deployed)
    other.model.load_state_dict(load(content))
    return content, other


FORMATS = {"onnx": _onnx, "pt2": _pt2, "safetensors": _safetensors}
