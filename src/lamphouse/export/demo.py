"""A page on this machine alone, on which one draws or drops an image, or types a text, and reads the answer."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from socketserver import ThreadingMixIn
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import torch
from torch import Tensor

from lamphouse.errors import InputError
from lamphouse.export.deployed import Deployed

HOST = "127.0.0.1"
MOST_BYTES = 10 * 2**20  # of an upload
Answer = Callable[[bytes], dict[str, Any]]  # of what was uploaded; raises an InputError if it is none
Takes = Literal["drawing", "image", "text"]  # a drawing may also be an image
PAGE = Path(__file__).with_name("demo.html")
HEADERS = {  # the page loads nothing, and no other page embeds it
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Server(ThreadingMixIn, WSGIServer):
    """A browser opens connections in advance, which would block a server of one thread."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Prints no line for each request."""

    def log_message(self, *_: Any) -> None:
        pass


def serve(answer: Answer, title: str, takes: Takes, port: int) -> None:
    """Serve the page until interrupted; port 0 chooses a free one.

    Args:
        answer: returns {"classes": ...} as `classify` does, or {"text": ...}.
        title: of the page.
        takes: drawings, white on black, and image files, or these files alone, or texts in UTF-8.
        port: of the loopback interface.

    Raises:
        InputError: bottle is not installed, or the port is taken.
    """
    try:
        server = make_server(HOST, port, application(answer, title, takes), Server, Quiet)
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}: choose another one, or 0 for a free one") from error
    with server:
        print(f"http://{HOST}:{server.server_port} shows the page; Ctrl-C ends it", flush=True)
        server.serve_forever()


def application(answer: Answer, title: str, takes: Takes) -> Any:
    """Make the WSGI application: the page at /, and an answer at /predict."""
    try:
        from bottle import Bottle, HTTPResponse, request  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise InputError("the page needs bottle: install it with `make extra EXTRA=demo`") from error
    app = Bottle()
    text = PAGE.read_text(encoding="utf-8").replace("TITLE", escape(title)).replace("TAKES", takes)

    def page() -> Any:
        return HTTPResponse(text, **HEADERS)

    def predict() -> Any:
        status, found = answer_to(request.environ["wsgi.input"], request.content_length, answer)
        return HTTPResponse(found, status, **HEADERS)

    def only_this_host() -> None:
        if request.get_header("Host", "").partition(":")[0] not in {HOST, "localhost"}:
            raise HTTPResponse("this page is for this machine alone\n", 403)  # under a name that another site gave it

    app.add_hook("before_request", only_this_host)
    app.route("/", "GET", page)
    app.route("/predict", "POST", predict)
    app.default_error_handler = lambda error: f"{error.status}\n"
    return app


def answer_to(upload: BinaryIO, size: int, answer: Answer) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer to an upload of some bytes."""
    if size > MOST_BYTES:
        while size > 0 and (part := upload.read(min(size, 2**16))):  # or the browser would not hear the answer
            size -= len(part)
        return 413, {"error": f"larger than {MOST_BYTES // 2**20} MiB: use a smaller one"}
    if size < 1:
        return 400, {"error": "no image or text: give one"}
    try:
        return 200, answer(upload.read(size))
    except InputError as error:
        return 400, {"error": str(error)}


@torch.inference_mode()
def classify(deployed: Deployed, read: Callable[[Path], Tensor], content: bytes) -> dict[str, Any]:
    """Return the classes of an image file with their probabilities, the most probable first.

    Args:
        deployed: a model with classes.
        read: reads an image file as the model takes it, uint8 [C, H, W]; raises an InputError if it cannot.
        content: of the file.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(content)
        try:
            image = read(path)
        except InputError as error:
            raise InputError("not a readable image: use a PNG, JPEG, GIF, BMP, TIFF or WebP file") from error
    probabilities = deployed(image[None])[0].tolist()
    ranked = sorted(zip(probabilities, deployed.classes, strict=True), reverse=True)
    return {"classes": [{"name": name, "probability": probability} for probability, name in ranked]}
