"""The tests.  What the service logs is for the tests that ask for it (``assertLogs``).

``GLANCE_TEST_LOG=DEBUG`` (or another level) shows it all.
"""

import logging
import os

if level := os.environ.get("GLANCE_TEST_LOG"):
    logging.basicConfig(level=level)
else:
    logging.getLogger().addHandler(logging.NullHandler())
