"""Checks of a project before a long training: what tutorials tell people to look at."""

from lamphouse.doctor.data import examine_data
from lamphouse.doctor.findings import Finding, attempt
from lamphouse.doctor.model import examine_model
from lamphouse.doctor.training import examine_loading, examine_training

__all__ = ["Finding", "attempt", "examine_data", "examine_loading", "examine_model", "examine_training"]
