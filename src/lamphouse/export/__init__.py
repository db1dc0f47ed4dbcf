"""Files that others can use: ONNX models, programs of `torch.export`, and safetensors weights with a model card."""

from lamphouse.export.card import model_card, push
from lamphouse.export.deployed import Deployed, largest_difference
from lamphouse.export.formats import FORMATS, export

__all__ = ["FORMATS", "Deployed", "export", "largest_difference", "model_card", "push"]
