"""Paths that are treated in a special way."""

PROBES = ("/livez", "/readyz")

# Where programs send most of their requests. A browser may come here too.
FOR_PROGRAMS = ("/tweets", "/users", "/me", *PROBES)
