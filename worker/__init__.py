"""A worker: models behind HTTP. It decodes images, predicts them in batches, and is registered in Consul."""
