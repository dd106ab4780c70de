"""The first steps of a new user, with nothing installed but the base package.

Started by ``make first-steps`` with the Python of an environment that has no
extras: serves an image as ``glance-api --stand-alone`` does, and
looks whether the same bytes come back.  Needs the standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from waiting import eventually

PORT = 20000 + os.getpid() % 10000
BASE = f"http://127.0.0.1:{PORT}"
DATA = os.urandom(3 * 1024 * 1024)


def ask(method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    request = urllib.request.Request(BASE + path, body, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def main() -> None:
    program = pathlib.Path(sys.executable).with_name("glance-api")
    with tempfile.TemporaryDirectory(prefix="glance-") as directory:
        server = subprocess.Popen(
            [program, "--stand-alone"],
            cwd=directory,
            env={**os.environ, "GLANCE_STATE_DIR": directory, "OS_DEFAULT__BIND_PORT": str(PORT)},
        )
        try:
            eventually(
                lambda: ask("GET", "/versions"), ignore=(urllib.error.URLError, ConnectionError)
            )
            image = json.loads(
                ask(
                    "POST",
                    "/v2/images",
                    json.dumps(
                        {"name": "first", "disk_format": "raw", "container_format": "bare"}
                    ).encode(),
                )
            )
            ask("PUT", image["file"], DATA, "application/octet-stream")
            shown = json.loads(ask("GET", image["self"]))
            back = ask("GET", image["file"])
        finally:
            server.terminate()
            server.wait(60)
    right = hashlib.sha512(DATA).hexdigest()
    if shown["os_hash_value"] != right or hashlib.sha512(back).hexdigest() != right:
        sys.exit("the bytes that came back are not those that went")
    sys.stdout.write(f"The base installation took {len(DATA)} bytes and gave them back.\n")


if __name__ == "__main__":
    main()
