"""Hooks on events: ``stats`` counts (``values`` is what it gives), ``log`` writes structlog events.

Each is told, none is asked.
"""
