"""Plan the project from the template's files and write it, into the folder that cookiecutter has made."""

import json
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, json.loads(r'''{{ template_root() | tojson }}'''))

from arc_light_scaffold.generate import generate  # noqa: E402  # after its path is set

generate(json.loads(r'''{{ cookiecutter | tojson }}'''), with_git=not json.loads("{{ is_compared() | tojson }}"))
