"""Hooks on events: ``stats`` counts, ``log`` writes structlog events. Each is told, none is asked."""
