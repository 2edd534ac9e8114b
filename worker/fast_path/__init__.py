"""The fast path: answers plain `POST /` requests without aiohttp, with the same responses and limits."""
