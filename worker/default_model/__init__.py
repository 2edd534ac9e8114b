"""The bundled network: EfficientNet-Lite0 with ImageNet weights."""
