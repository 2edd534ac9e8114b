"""Answers plain `POST /` requests ahead of aiohttp, with the same answers and limits."""
