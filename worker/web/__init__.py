"""The HTTP that all protocols share: routes, bodies, responses and errors."""
