"""The template's own faults."""


class TemplateError(Exception):
    """The manifest and the repository contradict each other: one line that says where."""
