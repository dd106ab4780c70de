"""Builds the image cache of this process from its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable

from glance_py.cache.directory import CacheDirectory
from glance_py.cache.driver import BadDriverConfiguration, CacheDriver
from glance_py.cache.image_cache import ImageCache, OpenData
from glance_py.cache.prefetch import Prefetcher
from glance_py.domain.image import Image
from glance_py.domain.ports.cached_image import CachedImageRepository
from glance_py.settings import CacheSettings

LOG = logging.getLogger(__name__)


def build(
    path: str,
    settings: CacheSettings,
    repository: CachedImageRepository,
    open_data: OpenData,
    get_image: Callable[[str], Image],
) -> tuple[ImageCache, Prefetcher]:
    """The image cache of this host, and the prefetcher that fetches queued images into it.

    :param path: the directory, ``image_cache_dir``; it is created when it does not exist.
    :param open_data: reads the data of an image from its store.
    :param get_image: the image with an id; the prefetcher acts for no caller.
    :raises BadDriverConfiguration: the driver needs an option that is not set.
    :raises OSError: the directory cannot be created.
    """
    directory = CacheDirectory(path)
    cache = ImageCache(
        directory,
        load_driver(settings, directory, repository),
        settings.image_cache_max_size,
        settings.image_cache_stall_time,
        open_data,
    )
    cache.reconcile()
    return cache, Prefetcher(cache, get_image)


def load_driver(
    settings: CacheSettings, directory: CacheDirectory, repository: CachedImageRepository
) -> CacheDriver:
    """The cache driver that ``image_cache_driver`` names.

    The sqlite driver, with an error in the log, where the file system has no extended attributes
    for the xattr driver.

    :raises BadDriverConfiguration: the driver needs an option that is not set.
    """
    # Here, so that a worker without a cache does not load sqlite3.
    from glance_py.cache.centralized_driver import CentralizedCacheDriver
    from glance_py.cache.sqlite_driver import SqliteCacheDriver
    from glance_py.cache.xattr_driver import XattrCacheDriver

    if settings.image_cache_driver == "centralized_db":
        if not settings.worker_self_reference_url:
            raise BadDriverConfiguration(
                "image_cache_driver = centralized_db needs worker_self_reference_url, "
                "the URL of this host."
            )
        driver = CentralizedCacheDriver(repository, settings.worker_self_reference_url)
        driver.migrate_from_sqlite(directory, settings.image_cache_sqlite_db)
        return driver
    if settings.image_cache_driver == "xattr":
        try:
            return XattrCacheDriver(directory)
        except BadDriverConfiguration as error:
            LOG.error("image_cache_driver xattr cannot be used, sqlite takes its place: %s", error)
    return SqliteCacheDriver(directory, settings.image_cache_sqlite_db)
