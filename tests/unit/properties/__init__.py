"""Property tests: what must hold for every input of a parser or codec, tried with generated ones.

The same inputs are generated in every run, so that a failure is about the change under test:
``HYPOTHESIS_PROFILE=search`` generates new and more ones, to look for defects.  A found one is
added with ``@example`` to the test that found it.
"""

import os

from hypothesis import HealthCheck, Verbosity, settings

# A slow machine must fail no test: no time limit for an example, no health check of the speed.
settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search",
    derandomize=False,
    database=None,
    deadline=None,
    max_examples=20_000,
    suppress_health_check=[HealthCheck.too_slow],
    verbosity=Verbosity.normal,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
