"""Telling other services what happened: the way out, and what is said.

Which events happen, and when, is decided by the layers; nobody ever waits for a
broker.
"""
