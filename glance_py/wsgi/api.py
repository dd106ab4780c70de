"""The service for WSGI servers, under the name deployments know: ``glance_py.wsgi.api:application``."""

from glance_py.app import wsgi_application

application = wsgi_application()
