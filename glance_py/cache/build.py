"""Puts the cache of this process together, as the options say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from glance_py.cache.directory import CacheDirectory
from glance_py.cache.driver import BadDriverConfiguration, CacheDriver
from glance_py.cache.image_cache import ImageCache, OpenData
from glance_py.cache.prefetch import Prefetcher
from glance_py.domain.image import Image

LOG = logging.getLogger(__name__)


def build(
    conf, repository: Any, open_data: OpenData, get_image: Callable[[str], Image]
) -> tuple[ImageCache, Prefetcher]:
    """The cache in ``image_cache_dir``, and what fills it from its queue.

    :param repositories: the DAL for cached images.
    :param open_data: reads an image from its store for a caller, or for the service itself.
    :param get_image: the image with an id, whoever may see it.
    :raises BadDriverConfiguration: the driver needs an option that is not set.
    :raises OSError: the directory cannot be made.
    """
    directory = CacheDirectory(conf.image_cache_dir)
    cache = ImageCache(
        directory,
        load_driver(conf, directory, repository),
        conf.image_cache_max_size,
        conf.image_cache_stall_time,
        open_data,
    )
    cache.reconcile()
    return cache, Prefetcher(cache, get_image)


def load_driver(conf, directory: CacheDirectory, repository: Any) -> CacheDriver:
    """The books that ``image_cache_driver`` names.

    Where the xattr driver cannot work the sqlite driver takes its place.

    :raises BadDriverConfiguration: the driver needs an option that is not set.
    """
    # A worker that has no cache, or other books, does not pay for sqlite3.
    from glance_py.cache.centralized_driver import CentralizedCacheDriver
    from glance_py.cache.sqlite_driver import SqliteCacheDriver
    from glance_py.cache.xattr_driver import XattrCacheDriver

    if conf.image_cache_driver == "centralized_db":
        if not conf.worker_self_reference_url:
            raise BadDriverConfiguration(
                "image_cache_driver = centralized_db needs worker_self_reference_url, "
                "the URL of this node."
            )
        driver = CentralizedCacheDriver(repository, conf.worker_self_reference_url)
        driver.migrate_from_sqlite(directory, conf.image_cache_sqlite_db)
        return driver
    if conf.image_cache_driver == "xattr":
        try:
            return XattrCacheDriver(directory)
        except BadDriverConfiguration as error:
            LOG.error("image_cache_driver xattr cannot be used, sqlite takes its place: %s", error)
    return SqliteCacheDriver(directory, conf.image_cache_sqlite_db)
