"""Bandwidth through a proxy and directly, on links of known speed."""
