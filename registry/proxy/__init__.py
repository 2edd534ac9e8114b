"""The article's two proxies: requests go to a fixed list of ports or to discovered workers."""
