"""The registry for WSGI servers: ``glance_py.wsgi.registry:application``."""

from glance_py.app import wsgi_registry

application = wsgi_registry()
