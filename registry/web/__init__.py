"""The HTTP that the lookup service and the proxy share."""
