"""glance-cache-cleaner, -pruner and -prefetcher: upkeep of this node's image cache.

Each reads the configuration of the service, does one thing and ends; meant for
timers.  The running service needs none of them to stay within its size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg

from glance_py import app, config
from glance_py.cache.image_cache import ImageCache
from glance_py.cache.prefetch import Prefetcher
from glance_py.domain import errors

CacheOperation = Callable[[ImageCache, Prefetcher], str]


def clean(argv: Sequence[str] | None = None) -> int:
    """Remove given-up and stalled half-written images.  Returns the exit code."""

    def operation(cache: ImageCache, prefetcher: Prefetcher) -> str:
        cache.clean()
        return "The image cache is clean."

    return _run("glance-cache-cleaner", operation, argv)


def prune(argv: Sequence[str] | None = None) -> int:
    """Bring the cache back to image_cache_max_size.  Returns the exit code."""

    def operation(cache: ImageCache, prefetcher: Prefetcher) -> str:
        files, size = cache.prune()
        return f"Pruned {files} images, {size} bytes."

    return _run("glance-cache-pruner", operation, argv)


def prefetch(argv: Sequence[str] | None = None) -> int:
    """Fetch what is queued, once.  Returns the exit code, 1 when something stays queued."""

    def operation(cache: ImageCache, prefetcher: Prefetcher) -> str:
        fetched, failed = prefetcher.run()
        if failed:
            raise errors.Conflict(f"{fetched} images were fetched, {failed} were not.")
        return f"{fetched} images were fetched."

    return _run("glance-cache-prefetcher", operation, argv)


def _run(name: str, operation: CacheOperation, argv: Sequence[str] | None) -> int:
    conf = cfg.ConfigOpts()
    try:
        config.load(
            sys.argv[1:] if argv is None else argv,
            conf=conf,
            prog=name,
            tool_file="glance-cache.conf",
            description="Upkeep of this node's image cache; does its work once and ends.",
            epilog="Exit codes: 0 done, 1 it could not be done, 2 wrong arguments.",
        )
        config.setup_logging(conf)
        cache, prefetcher = app.build_image_cache(app.build_dependencies(conf))
        if cache is None or prefetcher is None:
            raise config.ConfigurationError(
                "there is no image cache: image_cache_dir is not set, or the log says what is "
                "missing"
            )
        print(operation(cache, prefetcher))
    except (config.ConfigurationError, errors.GlanceError, OSError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
