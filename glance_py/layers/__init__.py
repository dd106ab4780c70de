"""One concern each, in front of the records: who may, who hears of it, is there room.

``gateway`` puts them in order.  A layer overrides the operations on which it has an
opinion, calls the one below and keeps nothing about a request.
"""
