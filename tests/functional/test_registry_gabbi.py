"""The HTTP sequences of ``gabbits/`` once more, with the records behind a registry."""

from __future__ import annotations

import os

from gabbi import driver

from tests.functional import registry_service, service
from tests.functional.test_gabbi import HERE, BytesHandler, PatchHandler


def load_tests(loader, tests, pattern):
    """What unittest and stestr call: the sequences as a suite."""
    return driver.build_tests(
        os.path.join(HERE, "gabbits"),
        loader,
        intercept=lambda: service.application,
        test_loader_name=__name__,
        fixture_module=registry_service,
        content_handlers=[PatchHandler],
        response_handlers=[BytesHandler],
    )
