"""Proxy layers in front of the repositories: authorization, policy, notifications, quotas ...

``gateway`` puts them in order.  A layer overrides the operations on which it has an
opinion, calls the one below and keeps nothing about a request.
"""
