"""Requests of the service to addresses that a client named (SSRF, CWE-918).

An address is judged before anything is sent: its parts by the operator's lists,
and every network address behind its name by what kind of place it is.  The
connection then goes to a judged address, and each redirect is judged again, so
that neither names nor servers can lead the service elsewhere.
"""

from glance_py.safe_http.fetch import Fetcher, Response
from glance_py.safe_http.uri_filter import Target, UriFilter

__all__ = ["Fetcher", "Response", "Target", "UriFilter"]
