"""Fences around lines of a shared file that belong to a part.

They stand between `# [part:loops]` and `# [/part:loops]`, or on a line that ends with `# [part:loops]`; in Markdown the
marks are HTML comments. `[part:mnist,mlp]` keeps lines where both parts are kept.
"""

import re

from arc_light_scaffold.errors import TemplateError

MARK = re.compile(r"[ \t]*(?:#|<!--)? ?\[(?P<end>/?)part:(?P<parts>[a-z0-9_,]+)\](?: ?-->)?(?P<line>\n|$)")


def strip_fences(text: str, left_out: set[str]) -> str:
    """Remove the lines of parts that are left out, and all marks.

    Raises:
        TemplateError: a fence is not closed, or was not opened.
    """
    kept: list[str] = []
    opened: list[str] = []
    for line in text.splitlines(keepends=True):
        mark = MARK.search(line)
        rest = line[: mark.start()] if mark else line
        if mark is None or rest.strip():
            parts = [*opened, mark["parts"]] if mark else opened
            if not left_out & set(",".join(parts).split(",")):
                kept.append(rest + mark["line"] if mark else line)
        elif not mark["end"]:
            opened.append(mark["parts"])
        elif not opened or opened.pop() != mark["parts"]:
            raise TemplateError(f"the fence {line.strip()} was not opened")
    if opened:
        raise TemplateError(f"the fence [part:{opened[-1]}] is not closed")
    return "".join(kept)
