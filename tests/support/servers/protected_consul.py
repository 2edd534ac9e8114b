"""A real Consul that denies by default, and tokens with the rights that a test gives them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.support.consul_process import ConsulProcess


class ProtectedConsul(ConsulProcess):
    """One server with ACLs on; `management` is the token that may do everything."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.management = str(uuid.uuid4())
        super().__init__(binary, folder, management=self.management)

    def token(self, rules: str) -> str:
        """A new token with these rules alone."""
        name = f"rights-{uuid.uuid4()}"
        self._put("/v1/acl/policy", {"Name": name, "Rules": rules})
        return str(self._put("/v1/acl/token", {"Policies": [{"Name": name}]})["SecretID"])

    def _put(self, path: str, body: object) -> Any:
        headers = {"X-Consul-Token": self.management}
        request = Request(f"{self.url}{path}", json.dumps(body).encode(), headers, method="PUT")
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)
