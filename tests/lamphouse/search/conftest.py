"""A PostgreSQL server of the tests' own."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def postgresql() -> Iterator[str]:
    """Start Debian's PostgreSQL on a free port, in a directory of its own, and return the URL of a database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    is_root = os.getuid() == 0  # which the server refuses to be
    user = ["runuser", "-u", "postgres", "--"] if is_root else []
    folder, bin_directory = Path(tempfile.mkdtemp()), programs[-1].parent
    if is_root:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control: list[object] = [*user, bin_directory / "pg_ctl", "-w", "-D", folder / "data"]
    try:
        run([*user, bin_directory / "initdb", "-A", "trust", "-U", "postgres", "-D", folder / "data"])
        run([*control, "-l", folder / "log", "-o", options, "start"])
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        run([*control, "-m", "immediate", "stop"])
        shutil.rmtree(folder)


def run(command: list[object]) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, cwd="/")
