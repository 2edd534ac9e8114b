"""Imports ONNX Runtime with its telemetry switched off.

Since version 1.29 it reports to its makers over the network and stores a device id in the user's cache folder, unless
the environment forbids it when the library is loaded.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # the environment must be set before

__all__ = ["onnxruntime"]
