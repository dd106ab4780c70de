"""nginx as a server of files, for the time of a test: loopback, HTTP."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

from tests.servers import ports

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {directory}/pid;
{user}
error_log {directory}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/files;
    }}
}}
"""


def program() -> str | None:
    """Where nginx is."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def start(directory: str) -> tuple[int, subprocess.Popen]:
    """Serve what is put into ``files`` of ``directory``; the port, and what is to be ended."""
    [port] = ports.free(1)
    path = pathlib.Path(directory)
    (path / "files").mkdir()
    # Its workers would become nobody, who may not look into a directory of ours.
    user = "user root;" if os.getuid() == 0 else ""
    (path / "nginx.conf").write_text(
        CONFIGURATION.format(directory=directory, port=port, user=user)
    )
    process = ports.start(
        [
            str(program()),
            "-p",
            directory,
            "-c",
            str(path / "nginx.conf"),
            "-e",
            str(path / "error.log"),
        ],
        path / "log",
    )
    ports.wait(port, process, path / "log")
    return port, process
