"""Workers that die in the middle of an upload, under every server.

No image is ever taken for whole, nothing stays behind, and the client can try
again: without anybody's help, and without taking from those who live.
"""

from __future__ import annotations

import os
import signal
import socket

from tests.functional.server import GLANCE_API, GUNICORN, MIB, UWSGI, ServerCase
from tests.waiting import eventually


class ServerCases:
    settings = {"client_timeout": 60, "short_leases": True}

    def begin(self) -> tuple[str, socket.socket]:
        """An upload of which half has arrived and lies in a hidden file."""
        image_id = self.server.create()
        sock = self.server.start_upload(image_id, f"Content-Length: {2 * MIB}", b"x" * MIB)
        self.addCleanup(sock.close)
        self.assertEqual("saving", self.server.wait(image_id, "saving"))
        self.assertEqual([image_id], [name[1:37] for name in eventually(self.server.files)])
        return image_id, sock

    def check_recovered(self, image_id: str) -> None:
        """The part is removed, the image queued, and the client may upload it again."""
        eventually(lambda: not self.server.files())
        self.assertEqual("queued", self.server.wait(image_id, "queued"), self.server.log())
        self.assertIn(f"Image {image_id} was left saving", self.server.log())
        self.assertEqual(204, self.server.upload(image_id, iter([b"again"])))
        self.assertEqual(b"again", self.server.download(image_id))
        # The dead attempt was the first, its removal the second.
        self.assertEqual([f"{image_id}.3"], self.server.files())

    def test_a_worker_dies(self) -> None:
        """Killed by signal 9, as when memory runs out: another worker puts things right."""
        image_id, sock = self.begin()
        for worker in self.server.workers():
            os.kill(worker, signal.SIGKILL)
        self.assertIn(self.server.show(image_id)["status"], ("saving", "queued"))
        self.check_recovered(image_id)

    def test_a_slow_upload_lives(self) -> None:
        """An upload of which nothing arrives for longer than a lease is not taken for dead."""
        image_id, sock = self.begin()
        self.server.outlive_lease(image_id)
        self.assertEqual("saving", self.server.show(image_id)["status"])
        sock.sendall(b"x" * MIB)
        self.assertIn(b" 204 No Content", sock.recv(100))
        self.assertEqual("active", self.server.show(image_id)["status"])


class GlanceApiTest(ServerCases, ServerCase):
    command = GLANCE_API

    def test_all_die(self) -> None:
        """After a power cut the next start puts things right."""
        image_id, sock = self.begin()
        self.server.kill()
        self.server.start()
        self.check_recovered(image_id)


class GunicornTest(ServerCases, ServerCase):
    command = GUNICORN


class UwsgiTest(ServerCases, ServerCase):
    command = UWSGI
