"""The discovery backend ZooKeeper."""
