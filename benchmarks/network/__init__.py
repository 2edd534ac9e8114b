"""Bandwidth of images through proxies and directly to workers, over links of known speed."""
