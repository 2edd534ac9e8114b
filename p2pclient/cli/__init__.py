"""The client's commands: `p2p classify`, `lookup` and `status`."""
