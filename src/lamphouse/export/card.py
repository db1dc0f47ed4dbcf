"""A model card: the README.md of a model on a hub (Mitchell et al. 2019, arXiv:1810.03993), and its upload."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lamphouse.errors import InputError

PARTS = {"val": "validation", "test": "test"}
FILES = ("model.safetensors", "config.yaml", "README.md")  # that are uploaded
TEMPLATE = """---
{matter}---

# {name}

A `{class_name}`, trained on {data}.

| metric | {titles} |
| --- | {rule} |
{rows}

## Use

`model.safetensors` holds the weights, `config.yaml` every option of the training.

```python
from safetensors.torch import load_file

from {module} import {class_name}

model = {class_name}({arguments})
model.load_state_dict(load_file("model.safetensors"))
model.eval()
```

{usage}

## Training

{options}
"""


def model_card(
    name: str,
    model: str,
    arguments: Mapping[str, Any],
    data: str,
    metrics: Mapping[str, float],
    options: Mapping[str, Any],
    usage: str = "",
    licence: str | None = None,
    task: str | None = None,
) -> str:
    """Write a model card in Markdown, with the front matter that hubs read.

    Args:
        name: of the model.
        model: import path of its class.
        arguments: with which an object of the class is made.
        data: what it was trained on; the first word is the data set's name.
        metrics: such as "val/acc" and "test/acc".
        options: of the training.
        usage: what goes into the model, and what comes out.
        licence: an SPDX identifier; None leaves it out.
        task: a hub's name for what the model does, such as "image-classification".
    """
    module, _, class_name = model.rpartition(".")
    parts = [part for part in PARTS if any(metric.startswith(f"{part}/") for metric in metrics)]
    return TEMPLATE.format(
        matter=_front_matter(name, data.split(maxsplit=1)[0], metrics, licence, task),
        titles=" | ".join(PARTS[part] for part in parts),
        rule=" | ".join("---:" for _ in parts),
        rows="\n".join(_rows(metrics, parts)),
        arguments=", ".join(f"{key}={value!r}" for key, value in arguments.items()),
        options="\n".join(f"- `{key}`: {value}" for key, value in options.items()),
        name=name,
        module=module,
        class_name=class_name,
        data=data,
        usage=usage,
    )


def _rows(metrics: Mapping[str, float], parts: Sequence[str]) -> list[str]:
    names = dict.fromkeys(metric.partition("/")[2] for metric in metrics)
    cells = {name: [metrics.get(f"{part}/{name}") for part in parts] for name in names}
    texts = {name: ["" if value is None else f"{value:.4f}" for value in row] for name, row in cells.items()}
    return [f"| {name} | {' | '.join(row)} |" for name, row in texts.items()]


def _front_matter(name: str, data: str, metrics: Mapping[str, float], licence: str | None, task: str | None) -> str:
    tested = {metric.partition("/")[2]: value for metric, value in metrics.items() if metric.startswith("test/")}
    results = [{"type": metric, "value": round(value, 4)} for metric, value in tested.items()]
    result = {"task": {"type": task or "other"}, "dataset": {"name": data, "type": data.lower()}, "metrics": results}
    matter = {
        "license": licence.lower() if licence else None,
        "library_name": "pytorch",
        "pipeline_tag": task,
        "tags": ["lightning", "safetensors"],
        "metrics": list(tested),
        "model-index": [{"name": name, "results": [result]}] if results else None,
    }
    return yaml.safe_dump({key: value for key, value in matter.items() if value}, sort_keys=False, allow_unicode=True)


def push(folder: Path, repository: str) -> str:
    """Upload weights, options and model card to a repository of the hub, and return its address.

    Raises:
        InputError: huggingface_hub is not installed, or the hub refuses.
    """
    option = f"--push_to {repository}"
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise InputError(f"{option}: needs huggingface_hub: install it with `make extra EXTRA=hub`") from error
    try:
        hub = HfApi()
        hub.create_repo(repository, exist_ok=True)
        commit = hub.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(FILES))
    except (OSError, ValueError) as error:  # of the network, the hub's answers among them, and of the name
        reason = " ".join(str(error).split())
        raise InputError(f"{option}: {reason}: log in with `hf auth login`, or correct the name") from error
    return str(commit.repo_url)
