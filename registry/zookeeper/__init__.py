"""Registrations in ZooKeeper: ephemeral nodes with JSON, followed by watches. Only this folder speaks to ZooKeeper."""
