"""The models that one worker serves, by name and version: every protocol finds its predictor here."""

from __future__ import annotations

from collections.abc import Sequence

from worker.artifacts.version_plan import VersionStatus
from worker.errors import NotFound
from worker.repository.served_model import AnyPredictor, ServedModel


class ModelRepository:
    """The models of one worker, by the name of their service; `default` (else the first) is the one of this port."""

    def __init__(self, models: Sequence[ServedModel], *, default: str | None = None) -> None:
        self._models = {model.name: model for model in models}
        self.default = default or models[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """Every model's name."""
        return tuple(self._models)

    def versions(self, name: str) -> ServedModel:
        """One model's versions. Raises NotFound, with the names that exist."""
        try:
            return self._models[name]
        except KeyError:
            raise NotFound(f"There is no model {name!r} here; there is {', '.join(self._models)}.") from None

    def find(self, name: str, *, version: str | None = None, label: str | None = None) -> AnyPredictor:
        """The predictor of `version`, or of the version that `label` means, or else of the default version.

        Raises NotFound for a name, version or label that does not exist, Busy for a version that is loading.
        """
        return self.versions(name).find(version=version, label=label)

    def statuses(self, name: str) -> Sequence[VersionStatus]:
        """What is known about each version of a model, newest first. Raises NotFound."""
        return self.versions(name).statuses()
