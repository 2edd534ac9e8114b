"""The protocols spoken on a worker's port: each only translates to and from `Predictor.predict`."""
