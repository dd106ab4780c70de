"""HTTP requests to URLs that a client named, without server-side request forgery (CWE-918).

``UriFilter`` checks a URL before anything is sent: its parts against the operator's lists, and
every IP address of its host.  ``Fetcher`` connects to a checked address, without resolving the
name again, and has each redirect checked.
"""

from glance_py.safe_http.fetch import Fetcher, Response, UriPolicy
from glance_py.safe_http.uri_filter import Target, UriFilter, service_endpoints

__all__ = ["Fetcher", "Response", "Target", "UriFilter", "UriPolicy", "service_endpoints"]
