"""HTTP sequences as data: each file in ``gabbits/`` against a service of its own.

The requests go through the Paste pipeline in this process; nothing listens on a
port.  What a sequence proves stands in its first lines.
"""

from __future__ import annotations

import os

from gabbi import driver
from gabbi.handlers import base, jsonhandler

from tests.functional import service

HERE = os.path.dirname(__file__)


class PatchHandler(jsonhandler.JSONHandler):
    """Writes a JSON patch as JSON, whatever its media type is called."""

    @staticmethod
    def accepts(content_type: str) -> bool:
        return content_type.endswith("json-patch")


class BytesHandler(base.ResponseHandler):
    """``response_bytes``: the whole body, as gabbi compares text only."""

    test_key_suffix = "bytes"
    test_key_value = []

    def action(self, test, item, value=None):
        test.assertEqual(item.encode(), test.output)


def load_tests(loader, tests, pattern):
    """What unittest and stestr call: the sequences as a suite."""
    return driver.build_tests(
        os.path.join(HERE, "gabbits"),
        loader,
        intercept=lambda: service.application,
        test_loader_name=__name__,
        fixture_module=service,
        content_handlers=[PatchHandler],
        response_handlers=[BytesHandler],
    )
