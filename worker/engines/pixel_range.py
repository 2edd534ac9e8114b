"""The first step of a network, measured -> the range of pixel values that it was made for.

Many models scale their input themselves: Keras's Rescaling and Normalization layers, retrain.py's Sub and Mul,
a Normalize layer exported to ONNX. An engine's module runs what stands between the input and the first real
layer on zeros and on ones; the gain tells.
"""

from __future__ import annotations

from worker.engines.input_plan import UNIT, UNTOUCHED, Scaling


def pixel_range(gain: float, offset: float) -> Scaling | None:
    """Mean and std for a model whose first step is x * gain + offset; None if that step does nothing.

    Networks see numbers of about 1, or pixels less their mean. So a small gain (1/255, 1/127.5, 1/58) or a
    large offset (-104) belongs to pixels of 0..255, and a gain of 1 or more to pixels of 0..1.
    """
    if gain == 1 and offset == 0:
        return None
    return UNTOUCHED if abs(gain) < 0.1 or abs(offset) > 10 else UNIT
