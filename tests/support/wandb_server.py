"""A stand-in for W&B's server: it keeps one run and what is uploaded of it, or refuses every key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

HISTORY, SUMMARY = "wandb-history.jsonl", "wandb-summary.json"
ENTITY = {"id": "ZQ==", "name": "me"}
PROJECT = {"id": "cA==", "name": "arc-light", "entity": ENTITY}

VIEWER = {"id": "VQ==", "entity": "me", "username": "me", "email": "me@x", "flags": "{}", "teams": {"edges": []}}


class Server(ThreadingHTTPServer):
    """What has been uploaded: the run, its rows of metrics, each at its offset, and the text of all requests."""

    daemon_threads = True

    def __init__(self, *, refuses: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuses, self.rows, self.requests = refuses, dict[int, dict[str, Any]](), list[str]()
        self.run: dict[str, Any] | None = None  # what UpsertBucket has said of it last
        self.summary: dict[str, Any] = {}
        self.artifact: dict[str, Any] = {}
        self.stored: dict[str, bytes] = {}  # files of the artifact

    def handle_error(self, *args: object) -> None:
        """Say nothing of clients that hang up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def metrics(self) -> set[str]:
        return {name for row in self.rows.values() for name in row}

    @property
    def config(self) -> dict[str, Any]:
        return {name: item["value"] for name, item in json.loads((self.run or {}).get("config", "{}")).items()}

    def update(self, **variables: Any) -> dict[str, Any]:
        self.run = {**(self.run or {}), **{name: value for name, value in variables.items() if value is not None}}
        return self.run

    def bucket(self) -> dict[str, Any] | None:
        if self.run is None:
            return None
        tail = [json.dumps(self.rows[offset]) for offset in sorted(self.rows)[-1:]]
        text = {"historyTail": json.dumps(tail), "eventsTail": "[]", "summaryMetrics": json.dumps(self.summary)}
        counts = {"historyLineCount": len(self.rows), "eventsLineCount": 0, "logLineCount": 0}
        seen = {name: self.run.get(name) for name in ("name", "displayName", "config", "tags", "notes")}
        return {"id": "cnVu", "project": PROJECT, "wandbConfig": '{"t": 1}', **text, **counts, **seen}


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
            query = json.loads(body)
            return {"data": self.answer(query["operationName"], query.get("variables") or {})}
        if self.path.endswith("/file_stream"):
            files = json.loads(body).get("files", {})
            chunk = files.get(HISTORY, {"offset": 0, "content": []})
            for offset, line in enumerate(chunk["content"], start=chunk["offset"]):
                self.server.rows[offset] = json.loads(line)
            for text in files.get(SUMMARY, {"content": []})["content"]:
                self.server.summary = json.loads(text)
        if self.command == "PUT" and self.path.startswith("/storage/"):
            self.server.stored[self.path.removeprefix("/storage/")] = body
        return {}

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        if operation == "RunResumeStatus":
            return {"model": {**PROJECT, "bucket": self.server.bucket()}}
        if operation == "UpsertBucket":
            new = self.server.run is None
            self.server.update(**variables)
            return {"upsertBucket": {"bucket": self.server.bucket(), "inserted": new}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.server.url}/upload"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "cnVu", "uploadHeaders": [], "files": files}}
        if operation in ("Viewer", "GetDefaultEntity"):
            return {"viewer": VIEWER}
        return self.answer_about_artifacts(operation, variables)

    def answer_about_artifacts(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        if operation == "CreateArtifact":
            self.server.artifact = variables["input"]
            return {"createArtifact": {"artifact": {"id": "QQ==", "state": "PENDING", "artifactSequence": {}}}}
        if operation == "CreateArtifactManifest":
            upload = {"id": "Rg==", "uploadUrl": f"{self.server.url}/storage/manifest", "uploadHeaders": []}
            return {"createArtifactManifest": {"artifactManifest": {"id": "TQ==", "file": upload}}}
        if operation == "CreateArtifactFiles":
            names = [file["name"] for file in variables["input"]["artifactFiles"]]
            edges = [{"node": self.place(name)} for name in names]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "QQ==", "digest": "d"}}}
        return {}

    def place(self, name: str) -> dict[str, Any]:
        url = {"uploadUrl": f"{self.server.url}/storage/{name}", "uploadHeaders": [], "uploadMultipartUrls": None}
        return {"id": "Rg==", "name": name, "storagePath": f"stored/{name}", "artifact": {"id": "QQ=="}, **url}

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
