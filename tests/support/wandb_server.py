"""A stand-in for W&B's server: it accepts a run and keeps what is uploaded, or refuses every key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

HISTORY = "wandb-history.jsonl"
RUN = {"id": "cnVu", "displayName": "", "config": "{}"}
ENTITY = {"id": "ZQ==", "name": "me"}
PROJECT = {"id": "cA==", "name": "arc-light", "entity": ENTITY}


class Server(ThreadingHTTPServer):
    """What has been uploaded: rows of metrics, each at its offset, and the text of all requests."""

    daemon_threads = True

    def __init__(self, *, refuses: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuses, self.rows, self.requests = refuses, dict[int, dict[str, Any]](), list[str]()

    def handle_error(self, *args: object) -> None:
        """Say nothing of clients that hang up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def metrics(self) -> set[str]:
        return {name for row in self.rows.values() for name in row}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(f"{self.path} {body.decode(errors='replace')}")
        reply = json.dumps(self.reply(body)).encode()
        self.send_response(401 if self.server.refuses else 200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_PUT = do_POST  # noqa: N815  # http.server's names

    def reply(self, body: bytes) -> dict[str, Any]:
        if self.server.refuses:
            return {"errors": [{"message": "user is not logged in"}]}
        if self.path == "/graphql":
            return {"data": self.answer(json.loads(body))}
        if self.path.endswith("/file_stream"):
            chunk = json.loads(body).get("files", {}).get(HISTORY, {"offset": 0, "content": []})
            for offset, line in enumerate(chunk["content"], start=chunk["offset"]):
                self.server.rows[offset] = json.loads(line)
        return {}

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        variables = query["variables"]
        if query["operationName"] == "UpsertBucket":
            bucket = {**RUN, "name": variables["name"], "project": PROJECT, "historyLineCount": len(self.server.rows)}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if query["operationName"] == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.server.url}/upload"} for name in variables["files"]]
            return {"createRunFiles": {"runID": RUN["id"], "uploadHeaders": [], "files": files}}
        return {}

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(*, refuses: bool = False) -> Iterator[Server]:
    """Serve on a free port of this machine."""
    with Server(refuses=refuses) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
