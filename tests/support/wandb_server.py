"""A stand-in for W&B's server: it keeps one run and what is uploaded of it, or refuses every key."""

import json
import re
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
        stored = self.server.stored.get(self.path.removeprefix("/storage/")) if self.command == "GET" else None
        reply = json.dumps(self.reply(body)).encode() if stored is None else stored
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
            operation = re.findall(r"(?:query|mutation)\s+(\w+)", query["query"])[0]
            return {"data": self.answer(operation, query.get("variables") or {})}
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
        url = f"{self.server.url}/storage"
        if operation == "CreateArtifact":
            self.server.artifact = variables["input"]
        artifact = {"id": "QQ==", "digest": "d", "state": "PENDING", "artifactSequence": {}}
        manifest = {"id": "TQ==", "file": {"id": "Rg==", "uploadUrl": f"{url}/manifest", "uploadHeaders": []}}
        new = [file["name"] for file in variables.get("input", {}).get("artifactFiles", ())]
        urls = [
            {"node": {"name": name, "directUrl": f"{url}/{name}"}} for name in self.server.stored if name != "manifest"
        ]
        files = {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": urls}
        collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": files}}
        replies: dict[str, dict[str, Any]] = {
            "CreateArtifact": {"createArtifact": {"artifact": artifact}},
            "CreateArtifactManifest": {"createArtifactManifest": {"artifactManifest": manifest}},
            "CreateArtifactFiles": {"createArtifactFiles": {"files": {"edges": [self.place(name) for name in new]}}},
            "CommitArtifact": {"commitArtifact": {"artifact": artifact}},
            "FetchArtifactManifest": {"artifact": {"currentManifest": {"file": {"directUrl": f"{url}/manifest"}}}},
            "GetArtifactMembershipFileUrls": {"project": {"artifactCollection": collection}},
        }
        if operation == "ArtifactMembershipByName":
            return {"project": {"artifactCollectionMembership": self.membership(variables["name"])}}
        return replies.get(operation, {})

    def place(self, name: str) -> dict[str, Any]:
        url = {"uploadUrl": f"{self.server.url}/storage/{name}", "uploadHeaders": [], "uploadMultipartUrls": None}
        return {"node": {"id": "Rg==", "name": name, "storagePath": f"x/{name}", "artifact": {"id": "QQ=="}, **url}}

    def membership(self, name: str) -> dict[str, Any] | None:
        """Describe the artifact, of which there is a first version."""
        logged, (collection, _, alias) = self.server.artifact, name.partition(":")
        aliases = [one["alias"] for one in logged.get("aliases", ())]
        if logged.get("artifactCollectionName") != collection or alias not in [*aliases, "v0"]:
            return None
        sequence = {"__typename": "ArtifactSequence", "name": collection, "project": {**PROJECT, "internalId": "cA=="}}
        same = {"versionIndex": 0, "createdAt": "2026-01-01T00:00:00Z"}
        artifact = {
            "id": "QQ==",
            "artifactSequence": sequence,
            "artifactType": {"name": "model"},
            "state": "COMMITTED",
            "description": None,
            "metadata": logged["metadata"],
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "size": 1,
            "digest": logged["digest"],
            "commitHash": None,
            "fileCount": 2,
            "updatedAt": None,
            **same,
        }
        named = [{"id": "QQ==", "alias": alias} for alias in aliases]
        return {"id": "TQ==", "aliases": named, "artifactCollection": sequence, "artifact": artifact, **same}

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
