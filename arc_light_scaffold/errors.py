"""What goes wrong by the template's own doing."""


class TemplateError(Exception):
    """The living project and the manifest contradict each other: one line that says where."""
