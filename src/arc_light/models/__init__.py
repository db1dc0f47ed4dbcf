"""LightningModules: what is trained."""

from arc_light.models.classifier import Classifier
from arc_light.models.fast_resnet import FastResNetClassifier
from arc_light.models.mlp import MLPClassifier
from arc_light.models.resnet import ResNetClassifier

__all__ = ["Classifier", "FastResNetClassifier", "MLPClassifier", "ResNetClassifier"]
