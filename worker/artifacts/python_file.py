"""Which Python file in a model's folder is the model: `model.py`, if it has a class that loads and predicts.

The file is parsed and not run.
"""

from __future__ import annotations

import ast
from pathlib import Path

MODEL_FILE = "model.py"

_METHODS = {"load", "predict"}


def python_model_in(folder: Path) -> Path | None:
    """`model.py` in a folder; None if there is none, or if it is another program that happens to have that name."""
    file = folder / MODEL_FILE
    return file if file.is_file() and _defines_model(file) else None


def _defines_model(file: Path) -> bool:
    """Whether a class in the file has the methods `load` and `predict`; true for what cannot be parsed.

    Loading such a file says better what is wrong with it.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return any({part.name for part in each.body if isinstance(part, ast.FunctionDef)} >= _METHODS for each in classes)
