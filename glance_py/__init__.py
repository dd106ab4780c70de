"""The OpenStack Image service, Image API v2.18."""

__version__ = "0.1.0"
