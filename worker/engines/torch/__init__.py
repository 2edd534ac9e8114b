"""PyTorch's engine: reads TorchScript and torch.export files and runs them on the CPU or on an NVIDIA GPU."""
