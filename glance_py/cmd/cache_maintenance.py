"""The commands glance-cache-cleaner, -pruner and -prefetcher: maintain this host's image cache.

They read the configuration of the service, do their work once and end; timers can call them.  The
service does not depend on them to keep the cache within its size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from oslo_config import cfg

from glance_py import app, config
from glance_py.cache.image_cache import ImageCache
from glance_py.cache.prefetch import Prefetcher
from glance_py.domain import errors

#: Works on the cache; returns a line to print.
CacheOperation: TypeAlias = Callable[[ImageCache, Prefetcher], str]


def clean(argv: Sequence[str] | None = None) -> int:
    """glance-cache-cleaner: remove aborted and stalled partial images.

    :param argv: the arguments; None for those of the process.
    :returns: the exit code.
    """

    def operation(cache: ImageCache, prefetcher: Prefetcher) -> str:
        cache.clean()
        return "The image cache is clean."

    return _run("glance-cache-cleaner", operation, argv)


def prune(argv: Sequence[str] | None = None) -> int:
    """glance-cache-pruner: remove images until the cache is within image_cache_max_size.

    :param argv: the arguments; None for those of the process.
    :returns: the exit code.
    """

    def operation(cache: ImageCache, prefetcher: Prefetcher) -> str:
        files, size = cache.prune()
        return f"Pruned {files} images, {size} bytes."

    return _run("glance-cache-pruner", operation, argv)


def prefetch(argv: Sequence[str] | None = None) -> int:
    """glance-cache-prefetcher: fetch the queued images, once.

    :param argv: the arguments; None for those of the process.
    :returns: the exit code; 1 when an image could not be fetched.
    """

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
            description="Maintains the image cache of this host; does its work once and ends.",
            epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments.",
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
