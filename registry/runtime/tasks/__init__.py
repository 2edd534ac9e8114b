"""Tasks of the event loop: supervised in the background, tried again after a failure, raced against an event."""
