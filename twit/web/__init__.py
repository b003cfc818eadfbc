"""The web server: an event loop receives whole requests, and a few threads run Django."""
