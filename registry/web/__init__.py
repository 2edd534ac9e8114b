"""The parts of HTTP that the lookup service and the proxy share: refusals, request targets, unread bodies."""
