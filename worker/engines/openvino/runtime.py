"""Imports OpenVINO with its telemetry switched off.

On import it reports to Google Analytics, unless the user has refused, and stores an id in ~/intel. It does so in a
process that it forks and, where no answer comes within 3 s, ends with SIGTERM. The fork shares our event loop's pipe
for signals, so that the worker itself would leave the rotation. OpenVINO does without openvino_telemetry.
"""

from __future__ import annotations

import sys
from typing import cast

cast("dict[str, object]", sys.modules)["openvino_telemetry"] = None  # Python then finds no such module

import openvino  # noqa: E402  # its telemetry is hidden before
from openvino.preprocess import PrePostProcessor  # noqa: E402

__all__ = ["PrePostProcessor", "openvino"]
