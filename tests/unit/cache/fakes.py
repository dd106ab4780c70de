"""A store for the tests of the cache: slow, wrong or broken on demand."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Iterator

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data

CHUNK = 64 * 1024


class Store:
    """Images by id; remembers from which byte on each was read, and for whom.

    After ``stop_after`` bytes of an image the store does what ``trouble`` says; chunks
    from the byte ``gate_at`` on wait for ``gate``.
    """

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.reads: list[int] = []
        self.callers: list[object] = []
        self.closed = 0
        self.stop_after: int | None = None
        self.trouble: Exception | None = None
        self.gate_at = 0
        self.gate = threading.Event()
        self.gate.set()

    def image(self, size: int, **fields) -> Image:
        """A new active image of ``size`` bytes."""
        data = uuid.uuid4().bytes * (size // 16 + 1)
        data = data[:size]
        checksum = hashlib.md5(data).hexdigest()
        image = Image(
            str(uuid.uuid4()), size=size, **{"status": "active", "checksum": checksum, **fields}
        )
        self.data[image.id] = data
        return image

    def open(self, image: Image, start: int = 0, caller: object = None) -> Data | None:
        self.reads.append(start)
        self.callers.append(caller)
        data = self.data.get(image.id)
        if data is None:
            return None
        return Data(self.chunks(data, start), len(data) - start, close=self.close)

    def close(self) -> None:
        self.closed += 1

    def chunks(self, data: bytes, start: int) -> Iterator[bytes]:
        for begin in range(start, len(data), CHUNK):
            if begin >= self.gate_at:
                self.gate.wait(60)
            if self.stop_after is not None and begin >= self.stop_after:
                if self.trouble is not None:
                    raise self.trouble
                return
            yield data[begin : begin + CHUNK]

    def find(self, image_id: str) -> Image:
        if image_id not in self.data:
            raise errors.ImageNotFound(image_id)
        data = self.data[image_id]
        return Image(image_id, "active", size=len(data), checksum=hashlib.md5(data).hexdigest())
