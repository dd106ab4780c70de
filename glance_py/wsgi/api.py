"""The service for WSGI servers: ``glance_py.wsgi.api:application``."""

from glance_py.app import wsgi_application

application = wsgi_application()
