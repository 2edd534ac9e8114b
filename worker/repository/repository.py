"""The models that one worker serves, by name and version: where every protocol finds its predictor."""

from __future__ import annotations

from collections.abc import Sequence

from worker.artifacts.version_plan import VersionStatus
from worker.errors import NotFound
from worker.inference.predictor import Predictor
from worker.repository.model_versions import Store


class Models:
    """The stores of one worker, by the name of their service; `default`, else the first, is the one of a port."""

    def __init__(self, stores: Sequence[Store], *, default: str | None = None) -> None:
        self._stores = {store.name: store for store in stores}
        self.default = default or stores[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """Every model's name."""
        return tuple(self._stores)

    def store(self, name: str) -> Store:
        """One model's versions. Raises NotFound, with the names that exist."""
        try:
            return self._stores[name]
        except KeyError:
            raise NotFound(f"There is no model {name!r} here; there is {', '.join(self._stores)}.") from None

    def find(self, name: str, *, version: str | None = None, label: str | None = None) -> Predictor:
        """The predictor of one version; of the one that `label` means; else of the one served by default.

        Raises NotFound for a name, version or label that is not known, Overloaded for a version that is loading.
        """
        return self.store(name).find(version=version, label=label)

    def statuses(self, name: str) -> Sequence[VersionStatus]:
        """What is known of each version of a model, newest first. Raises NotFound."""
        return self.store(name).statuses()
