"""Which model answers where a request names none.

1. The one that the setting names, where it is live and does the task.
2. It is on disk but not live yet, or no longer: 503. Another model would answer the same question otherwise,
   and nobody would notice.
3. It is not there, and nobody has chosen it, for the setting names what Striate ships: the only live model of
   the path's tasks. Where there are several, one of them has to be named.
4. It was chosen and is not there, or does another task: a mistake of the operator's, which is told.
"""

from collections.abc import Collection
from dataclasses import dataclass

from service.configuration.settings import Settings
from service.errors import ModelNotFound, NotReady
from service.inference.predictor import Predictor
from service.manifest import Task
from service.tasks.registry import FACES
from service.tasks.task import Face
from service.versions.repository import Repository, Slot


@dataclass(frozen=True)
class Default:
    """The model of a face, which does one of its tasks; `setting` is the variable that names it, `chosen`
    whether somebody set that.
    """

    tasks: tuple[Task, ...]
    model: str
    setting: str
    chosen: bool

    @property
    def what(self) -> str:
        """The tasks in words."""
        return " or ".join(self.tasks)


def of(settings: Settings) -> dict[Face, Default]:
    """Return each face's default as the settings have it."""
    found: dict[Face, Default] = {}
    for face, tasks in FACES.items():
        field = f"default_{face.path[1:]}"
        model = getattr(settings, field)
        # By its value: a worker is given every setting, chosen or not.
        chosen = model not in {"", Settings.model_fields[field].default}
        found[face] = Default(tasks, model, f"STRIATE_{field}".upper(), chosen)
    return found


def find(repository: Repository, default: Default, version: int | None, label: str | None) -> Predictor:
    """Return the live predictor; NotReady, ModelNotFound or VersionNotFound."""
    slot = repository.slots.get(default.model)
    if slot is not None and slot.live is not None:
        if slot.live.predictor.manifest.task in default.tasks:
            return repository.find(default.model, version, default.tasks, label)
    elif slot is not None or repository.loading or not repository.live():
        raise NotReady(_not_live(repository, default, slot))
    if not default.chosen:
        able = _able(repository, default.tasks)
        if len(able) == 1:
            return repository.find(able[0], version, default.tasks, label)
    raise ModelNotFound(_unnamed(repository, default))


def _able(repository: Repository, tasks: Collection[Task]) -> list[str]:
    manifests = (live.predictor.manifest for live in repository.live())
    return [manifest.name for manifest in manifests if manifest.task in tasks]


def _not_live(repository: Repository, default: Default, slot: Slot | None) -> str:
    if slot is None:
        return repository.complaint
    if slot.loading is not None or (repository.loading and not slot.refused):
        state = "is still being loaded"
    elif slot.waiting:
        state = "could not be loaded so far and is tried again"
    elif slot.refused:
        state = "is not live: no version of it has passed its checks"
    else:
        state = "is not live yet"
    others = _able(repository, default.tasks)
    named = f" Models that can be asked for by ?model=NAME: {', '.join(others)}." if others else ""
    return f"The default model for {default.what}, {default.model}, {state}; /readyz tells more.{named}"


def _unnamed(repository: Repository, default: Default) -> str:
    slot = repository.slots.get(default.model)
    if slot is not None and slot.live is not None:
        fault = f"does {slot.live.predictor.manifest.task}"
    else:
        fault = "is not there"
    able = _able(repository, default.tasks)
    names = (
        f"Add ?model=NAME; live for {default.what}: {', '.join(able)}."
        if able
        else _none(repository, default)
    )
    return (
        f"No model was named, and the default for {default.what}, {default.model or 'none'}, {fault} "
        f"({default.setting} names another). {names}"
    )


def _none(repository: Repository, default: Default) -> str:
    manifests = [live.predictor.manifest for live in repository.live()]
    known = ", ".join(f"{manifest.name} ({manifest.task})" for manifest in manifests)
    return f"No live model does {default.what}; there are: {known}."
