"""Notifications to other services: the queue to the broker, the events and their payloads.

The layers decide which events happen and when; no request waits for a broker.
"""
