"""Plain lookups as bytes: a request is read from them, and an answer is put together in them. Pure."""
