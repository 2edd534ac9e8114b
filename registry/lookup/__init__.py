"""The lookup service over HTTP: its routes, its answers, and the fast path ahead of aiohttp."""
