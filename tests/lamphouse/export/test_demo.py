"""The page of a run: one draws a digit or drops an image, and reads the classes; nothing else is served."""

import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import pytest
import torch
from browser import browser, needs_browser
from conftest import Outcome
from PIL import Image
from torch import Tensor, nn

from lamphouse.errors import InputError
from lamphouse.export import Deployed
from lamphouse.export.demo import MOST_BYTES, Answer, Quiet, Server, Takes, application, classify
from arc_light.data.digits import DigitsDataModule

pytest.importorskip("bottle", reason="make extra EXTRA=demo installs what is tested here")
Command = Callable[..., Outcome]


class Upright(nn.Module):
    """Says whether what is drawn is taller than wide."""

    def forward(self, images: Tensor) -> Tensor:
        lit = images[:, 0] > 64
        height, width = (lit.any(side).sum(1) for side in (2, 1))
        return torch.stack([height - width, width - height], dim=1).float()


@contextmanager
def serving(answer: Answer, takes: Takes) -> Iterator[str]:
    app = application(answer, "a <title>", takes)
    server = make_server("127.0.0.1", 0, app, Server, Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url() -> Iterator[str]:
    deployed = Deployed(Upright(), classes=["tall", "wide"])
    with serving(partial(classify, deployed, DigitsDataModule().read), "drawing") as address:
        yield address


def ask(url: str, content: bytes | None = None, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, content, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def png(width: int, height: int) -> bytes:
    image, file = Image.new("L", (64, 64)), io.BytesIO()
    image.paste(255, (32 - width // 2, 32 - height // 2, 32 + width // 2, 32 + height // 2))
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(("shape", "name"), [((8, 48), "tall"), ((48, 8), "wide")])
def test_an_image_is_classified(url: str, shape: tuple[int, int], name: str) -> None:
    status, text = ask(f"{url}predict", png(*shape))
    classes: list[dict[str, Any]] = json.loads(text)["classes"]
    assert (status, classes[0]["name"]) == (200, name)
    assert sum(one["probability"] for one in classes) == pytest.approx(1)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "words"),
    [
        ("predict", b"no image", {}, 400, "not a readable image: use a PNG"),
        ("predict", b"", {}, 400, "no image"),
        ("predict", bytes(MOST_BYTES + 1), {}, 413, "larger than 10 MiB"),
        ("demo.html", None, {}, 404, "Not Found"),
        ("../config.yaml", None, {}, 404, "Not Found"),
        ("predict", None, {}, 405, "Not Allowed"),
        ("", None, {"Host": "elsewhere.example"}, 403, "this machine alone"),
    ],
)
def test_what_is_refused(url: str, path: str, content: bytes, headers: dict[str, str], status: int, words: str) -> None:
    answered, text = ask(f"{url}{path}", content, **headers)
    assert answered == status
    assert words in text
    assert len(text) < 100


@needs_browser
@pytest.mark.slow
def test_in_a_browser_one_draws_and_reads(url: str, tmp_path: Path) -> None:
    with browser() as page:
        page.open(url)
        assert page.run("return document.title") == "a <title>"
        page.draw("canvas", (0, -80), (0, 80))
        assert page.wait_for("return document.querySelector('li')?.innerText").split()[0] == "tall"
        page.run("document.getElementById('clear').click()")
        assert page.run("return document.querySelector('li')") is None
        page.draw("canvas", (-80, 20), (80, 20))
        assert page.wait_for("return document.querySelector('li')?.innerText").split()[0] == "wide"
        (tmp_path / "tall.png").write_bytes(png(8, 48))
        page.choose("#file", tmp_path / "tall.png")
        page.wait_for("return document.querySelector('li').innerText.startsWith('tall')")
        assert page.complaints() == []
        (tmp_path / "bad.png").write_bytes(b"no image")
        page.choose("#file", tmp_path / "bad.png")
        page.wait_for("return document.getElementById('message').innerText.startsWith('not a readable image')")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")


def echo(content: bytes) -> dict[str, Any]:
    if not content.isascii():
        raise InputError("letters only")
    return {"text": content.decode().upper()}


@needs_browser
@pytest.mark.slow
def test_in_a_browser_one_types_and_reads() -> None:
    with serving(echo, "text") as url, browser() as page:
        page.open(url)
        hidden = "return ['drawing', 'drop', 'writing'].map(id => document.getElementById(id).offsetParent === null)"
        assert page.run(hidden) == [True, True, False]
        for text, shown in (("romeo", "ROMEO"), ("é", "letters only")):
            page.run("document.getElementById('text').value = arguments[0]", text)
            page.run("document.querySelector('#writing button').click()")
            page.wait_for(f"return document.querySelector('[aria-live]').innerText.trim() === {json.dumps(shown)}")


def test_other_runs_and_ports_are_one_line(arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = arc("demo", "--run", trained, "--port=70000")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "--port: 70000: expected a port, 0..65535" in outcome.err
    with make_server("127.0.0.1", 0, lambda *_: []) as taken:
        outcome = arc("demo", "--run", trained, f"--port={taken.server_port}")
    assert outcome.status == 2
    assert f"--port {taken.server_port}: Address already in use: choose another one" in outcome.err
