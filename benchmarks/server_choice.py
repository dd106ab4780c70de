"""Compares WSGI servers: the measurements for decision record 0002.

Each server runs the same small application.  Measured are the CPU time of GETs on a kept
connection, of uploads with a length and in chunks, and of a file that is sent by
wsgi.file_wrapper; memory; whether an interrupted chunked upload is noticed; whether an upload in
progress survives SIGTERM; and whether idle connections occupy threads.

    python benchmarks/server_choice.py [--python VENV/bin/python] [server ...]

The servers are those of the given virtual environment; servers that are not installed are skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
UPLOAD = 1024  # MiB
FILE = 1024  # MiB
REQUESTS = 8000
THREADS = 8
PORT = 18999
CHUNK_SIZE = 4 * MIB
TICK = os.sysconf("SC_CLK_TCK")

# --- The application -------------------------------------------------------------------------


seen = b""


def application(environ, start_response):
    """Answers GET /small, GET /file and PUT with any path like the service."""
    global seen
    if environ["PATH_INFO"] == "/cut":
        seen = b""
        try:
            seen = b"taken for whole" if list(pieces(environ)) else b"taken for none"
        except Exception:
            seen = b"noticed"
        body = b""
    elif environ["PATH_INFO"] == "/seen":
        body = seen
    elif environ["REQUEST_METHOD"] == "PUT":
        pause = 0.01 if environ["PATH_INFO"] == "/slow" else 0
        total = 0
        for chunk in pieces(environ):
            total += len(chunk)
            time.sleep(pause)
        body = b"%d" % total
    elif environ["PATH_INFO"] == "/file":
        size = os.path.getsize(os.environ["CHOICE_FILE"])
        start_response("200 OK", [("Content-Length", str(size))])
        file = open(os.environ["CHOICE_FILE"], "rb")  # noqa: SIM115 - the server closes it
        wrapper = environ.get("wsgi.file_wrapper")
        return wrapper(file, MIB) if wrapper else iter(lambda: file.read(MIB), b"")
    else:
        body = b"x" * 1024
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def pieces(environ):
    """Yields the body in chunks, as the service reads it."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", ""):
        try:
            import uwsgi
        except ImportError:
            yield from iter(lambda: environ["wsgi.input"].read(MIB), b"")
        else:
            yield from iter(uwsgi.chunked_read, b"")
        return
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left:
        chunk = environ["wsgi.input"].read(min(left, MIB))
        if not chunk:
            raise OSError("short body")
        left -= len(chunk)
        yield chunk


# --- The servers -----------------------------------------------------------------------------

CHEROOT = (
    "import server_choice, cheroot.wsgi as w, signal\n"
    f"s = w.Server(('127.0.0.1', {PORT}), server_choice.application, numthreads={THREADS})\n"
    "def stop(*_): raise KeyboardInterrupt\n"
    "signal.signal(signal.SIGTERM, stop)\n"
    "s.safe_start()\n"
)

SERVERS = {
    "gunicorn": [
        "-m",
        "gunicorn",
        "-k",
        "gthread",
        "--threads",
        str(THREADS),
        "-w",
        "1",
        "--keep-alive",
        "30",
        "-b",
        f"127.0.0.1:{PORT}",
        "--graceful-timeout",
        "60",
        "--no-control-socket",
        "server_choice:application",
    ],
    "cheroot": ["-c", CHEROOT],
    "waitress": [
        "-m",
        "waitress",
        "--threads",
        str(THREADS),
        "--max-request-body-size",
        str(1 << 40),
        "--listen",
        f"127.0.0.1:{PORT}",
        "server_choice:application",
    ],
    "granian": [
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--workers",
        "1",
        "--blocking-threads",
        str(THREADS),
        "--host",
        "127.0.0.1",
        "--port",
        str(PORT),
        "--no-ws",
        "server_choice:application",
    ],
    "pyuwsgi": [
        "-c",
        "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])",
        "--master",
        "--enable-threads",
        "--threads",
        str(THREADS),
        "--http11-socket",
        f"127.0.0.1:{PORT}",
        "--so-keepalive",
        "--chunked-input-limit",
        str(16 * MIB),
        "--http-timeout",
        "60",
        "--socket-timeout",
        "60",
        "--need-app",
        "--lazy-apps",
        "--disable-logging",
        "--die-on-term",
        "--buffer-size",
        "65535",
        "--module",
        "server_choice:application",
    ],
}


@contextlib.contextmanager
def running(python, name, file):
    """Run a server in a session of its own; yields its process."""
    env = {
        **os.environ,
        "CHOICE_FILE": file,
        "PYTHONPATH": str(pathlib.Path(__file__).resolve().parent),
    }
    process = subprocess.Popen(
        [python, *SERVERS[name]],
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), connect():
                break
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with contextlib.suppress(OSError):
            while True:  # the port is free when nobody accepts any more
                connect().close()
                time.sleep(0.1)


def process_stats(process):
    """Directories in /proc of the server's processes."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == process.pid:
                    yield entry, fields


def cpu(process):
    """CPU time of the server so far, in user and system mode, in seconds."""
    return sum(int(f[11]) + int(f[12]) for _, f in process_stats(process)) / TICK


def peak(process):
    """Highest resident memory of one of its processes, in MiB."""
    worst = 0
    for entry, _ in process_stats(process):
        for line in (entry / "status").read_text().splitlines():
            if line.startswith("VmHWM"):
                worst = max(worst, int(line.split()[1]))
    return worst / 1024


# --- The client ------------------------------------------------------------------------------


def connect():
    return socket.create_connection(("127.0.0.1", PORT), timeout=60)


def read_response(sock, discard=False):
    """Read one answer; returns (status, body or its length)."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise OSError("connection closed")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    got = len(body)
    buffer = bytearray(MIB)
    while got < length:
        part = sock.recv_into(buffer)
        if not part:
            raise OSError("connection closed in body")
        if not discard:
            body += buffer[:part]
        got += part
    return int(head.split()[1]), got if discard else body


def send_gets(count):
    """Send ``count`` GETs on one connection."""
    with connect() as sock:
        for _ in range(count):
            sock.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
            read_response(sock)


def upload(megabytes, chunked, pause=None, path=b"/up"):
    """Upload zeros; returns the number of bytes that the application counted."""
    chunk = bytes(CHUNK_SIZE)
    with connect() as sock:
        sock.sendall(
            b"PUT "
            + path
            + b" HTTP/1.1\r\nHost: x\r\n"
            + (
                b"Transfer-Encoding: chunked\r\n\r\n"
                if chunked
                else b"Content-Length: %d\r\n\r\n" % (megabytes * MIB)
            )
        )
        for _ in range(megabytes * MIB // CHUNK_SIZE):
            sock.sendall(b"%x\r\n" % CHUNK_SIZE + chunk + b"\r\n" if chunked else chunk)
            if pause:
                time.sleep(pause)
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        return int(read_response(sock)[1])


# --- Measurements ----------------------------------------------------------------------------


def result_or_error(what):
    """The result of a function as text; the error when it failed."""
    try:
        return what()
    except Exception as error:
        return f"{type(error).__name__}"


def probe_broken_upload():
    """What the application read of a chunked upload whose client disconnected."""
    with connect() as sock:
        sock.sendall(
            b"PUT /cut HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        time.sleep(0.3)
    time.sleep(0.3)
    with connect() as sock:
        sock.sendall(b"GET /seen HTTP/1.1\r\nHost: x\r\n\r\n")
        return read_response(sock)[1].decode()


def probe_stop(python, name, file):
    """The result of an upload during which the server gets SIGTERM."""
    with running(python, name, file) as process:
        threading.Timer(0.5, os.kill, (process.pid, signal.SIGTERM)).start()
        return "finishes" if upload(80, True, pause=0.1) == 80 * MIB else "wrong"


def measure(python, name, file):
    """One row of the table."""
    row = {"server": name}
    with running(python, name, file) as process:

        def small():
            send_gets(200)
            before = cpu(process)
            threads = [threading.Thread(target=send_gets, args=(REQUESTS // 4,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return f"{(cpu(process) - before) / REQUESTS * 1e6:.0f}"

        def up(chunked):
            before, start = cpu(process), time.monotonic()
            if upload(UPLOAD, chunked) != UPLOAD * MIB:
                return "wrong"
            used, took = cpu(process) - before, time.monotonic() - start
            return f"{used / UPLOAD * 1024:.2f} ({UPLOAD / took:.0f} MiB/s)"

        def down():
            before = cpu(process)
            with connect() as sock:
                sock.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
                if read_response(sock, discard=True)[1] != FILE * MIB:
                    return "wrong"
            return f"{(cpu(process) - before) / FILE * 1024:.2f}"

        def idle():
            with contextlib.ExitStack() as stack:
                for _ in range(THREADS * 4):
                    sock = stack.enter_context(connect())
                    sock.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
                    read_response(sock)
                start = time.monotonic()
                send_gets(1)
                return f"{(time.monotonic() - start) * 1000:.0f} ms"

        row["start MiB"] = f"{peak(process):.0f}"
        row["GET us"] = result_or_error(small)
        row["PUT s/GiB"] = result_or_error(lambda: up(False))
        row["chunked s/GiB"] = result_or_error(lambda: up(True))
        row["file s/GiB"] = result_or_error(down)
        before = peak(process)
        result_or_error(lambda: upload(512, True, path=b"/slow"))
        row["slow reader MiB"] = f"+{peak(process) - before:.0f}"
        row["peak MiB"] = f"{peak(process):.0f}"
        row["cut off"] = result_or_error(probe_broken_upload)
        row["GET beside idle"] = result_or_error(idle)
    row["SIGTERM"] = result_or_error(lambda: probe_stop(python, name, file))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("servers", nargs="*", default=list(SERVERS))
    args = parser.parse_args()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.truncate(FILE * MIB)
        rows = []
        for name in args.servers:
            module = SERVERS[name][1] if SERVERS[name][0] == "-m" else name
            if subprocess.run(
                [args.python, "-c", f"import {module}"], check=False, capture_output=True
            ).returncode:
                print(f"{name}: not installed", file=sys.stderr)
                continue
            rows.append(measure(args.python, name, file.name))
            print(rows[-1], file=sys.stderr)
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
