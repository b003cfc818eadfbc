"""Wiring: settings, URLs, and the entry points of servers and workers."""
