"""Frozen data, no behaviour: requests, responses, messages, usage, wire forms, events."""
