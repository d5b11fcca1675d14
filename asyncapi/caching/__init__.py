"""Answers kept for the next time the same is asked.

::

    keys.py     a request to the key under which its answer is kept

Nothing here schedules: the core asks, and sends where the answer is not there.
"""
