"""Puts the cache of this process together, as the options say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from glance_py.cache.books import Books, Unusable
from glance_py.cache.directory import Directory
from glance_py.cache.image_cache import ImageCache, OpenData
from glance_py.cache.prefetch import Prefetcher
from glance_py.domain.image import Image

LOG = logging.getLogger(__name__)


def build(
    conf, repository: Any, open_data: OpenData, find: Callable[[str], Image]
) -> tuple[ImageCache, Prefetcher]:
    """The cache in ``image_cache_dir``, and what fills it from its queue.

    :param repositories: the DAL for cached images.
    :param open_data: reads an image from its store for a caller, or for the service itself.
    :param find: the image with an id, whoever may see it.
    :raises Unusable: the driver needs an option that is not set.
    :raises OSError: the directory cannot be made.
    """
    directory = Directory(conf.image_cache_dir)
    cache = ImageCache(
        directory,
        open_books(conf, directory, repository),
        conf.image_cache_max_size,
        conf.image_cache_stall_time,
        open_data,
    )
    cache.tidy()
    return cache, Prefetcher(cache, find)


def open_books(conf, directory: Directory, repository: Any) -> Books:
    """The books that ``image_cache_driver`` names.

    Where the xattr driver cannot work the sqlite driver takes its place.

    :raises Unusable: the driver needs an option that is not set.
    """
    # A worker that has no cache, or other books, does not pay for sqlite3.
    from glance_py.cache.central_books import CentralBooks
    from glance_py.cache.sqlite_books import SqliteBooks
    from glance_py.cache.xattr_books import XattrBooks

    if conf.image_cache_driver == "centralized_db":
        if not conf.worker_self_reference_url:
            raise Unusable(
                "image_cache_driver = centralized_db needs worker_self_reference_url, "
                "the URL of this node."
            )
        books = CentralBooks(repository, conf.worker_self_reference_url)
        books.take_over(directory, conf.image_cache_sqlite_db)
        return books
    if conf.image_cache_driver == "xattr":
        try:
            return XattrBooks(directory)
        except Unusable as error:
            LOG.error("image_cache_driver xattr cannot be used, sqlite takes its place: %s", error)
    return SqliteBooks(directory, conf.image_cache_sqlite_db)
