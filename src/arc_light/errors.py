"""What goes wrong by the user's own doing."""


class InputError(Exception):
    """Bad input: one line that names the option or file, its value and the way out."""
