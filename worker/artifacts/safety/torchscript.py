"""The source in a TorchScript file -> a function in it that reaches outside the model, in words, or None. Pure.

TorchScript is a language of its own, which cannot call Python. Of PyTorch's operations, `torch.save` writes a file and
`torch.from_file` reads or makes one; distributed operations and classes speak to other machines. TorchScript can give
a module another name, so that a dangerous name is refused wherever it stands.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*|[^\W\d]\w*")
_NAMES = frozenset(("save", "from_file", "load_tensor", "rpc_async", "rpc_sync", "rpc_remote", "load_library"))
_ATTRIBUTE = re.compile(r"getattr\(\s*[\w.]+\s*,\s*\"(\w*)\"\s*\)")
"""How TorchScript writes an attribute whose name is no identifier, such as a layer's number."""

_NAMESPACES = re.compile(r"_?(c10d|dist_rpc|symm_mem|dtensor|debugprims|aoti|aot_inductor|dist_)\w*|_test")


def unsafe_in_source(source: str) -> str | None:
    """The first dangerous name in the source of one module; comments and other strings do not count."""
    for match in _WORD.finditer(source):
        word = match[0]
        if word == "getattr":
            attribute = _ATTRIBUTE.match(source, match.start())
            if attribute is None:
                return "an attribute in its code whose name is computed"
            word = attribute[1]
        if word in _NAMES or _NAMESPACES.fullmatch(word):
            return f"the function {word} in its code"
    return None
