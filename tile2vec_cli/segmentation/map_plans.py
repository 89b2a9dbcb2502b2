"""Maps that are to be made: of which scenes, where they go, and whether they are there already."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import locations, signed_urls, stacks
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.raster_files import identity
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.geo.rasters import describe
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.outputs import cogs
from tile2vec_cli.outputs.parts import dump_json, fingerprint, sha256_file
from tile2vec_cli.outputs.provenance import relative
from tile2vec_cli.outputs.stamps import Stamp

FORMAT = "tile2vec-map/1"
_TAG = "TILE2VEC_"
_MODEL, _MODEL_PATH, _SETTINGS = (f"{_TAG}{name}" for name in ("MODEL", "MODEL_PATH", "SETTINGS"))
_SCENE, _CONTENT = f"{_TAG}SCENE", f"{_TAG}SCENE_CONTENT"
_CLASSES = f"{_TAG}CLASS_0", f"{_TAG}CLASS_1"


@dataclass(frozen=True)
class Plan:
    """One scene and where its map goes."""

    scene: str
    path: Path
    probability: Path | None
    tags: dict[str, str]  # all but what tells whether the scene has changed
    facts: Facts | None = None
    signed: tuple[str, ...] = field(default=(), repr=False)  # addresses, for a worker elsewhere

    def absolute(self) -> Plan:
        """The same, wherever the worker is."""
        probability = self.probability and self.probability.absolute()
        return replace(self, path=self.path.absolute(), probability=probability)

    def tags_now(self) -> dict[str, str]:
        """With what tells at a glance whether the scene has changed."""
        found = identity(self.scene)
        if self.facts is not None:  # of an item the address tells, too: another is a new version
            found |= {"item": self.facts.as_json(), "source": self.scene}
        return {**self.tags, _SCENE: fingerprint(dump_json(found))}

    def tags_for_ever(self) -> dict[str, str]:
        """Tags with the content as well, for a file that was only touched or copied."""
        content = _content(self.scene, self.facts)
        return self.tags_now() | ({} if content is None else {_CONTENT: content})

    def is_made(self, overwrite: bool) -> bool:
        """Whether all that is to be made of the scene is there. Raises DataError where something else is."""
        if self.facts is not None:
            self.facts.require()
        tags = self.tags_now()
        made = _is_up_to_date(self.path, tags, self, overwrite)
        if self.probability is None:
            return made
        return _is_up_to_date(self.probability, tags, self, overwrite) and made


@dataclass(frozen=True)
class Mapper:
    """What maps the scenes."""

    model: str  # its fingerprint
    path: Path
    name: str  # of the class
    settings: dict[str, Any]  # what else decides the map


def plans(
    names: Mapping[str, str],
    own: Sequence[str],
    out: Path,
    mapper: Mapper,
    *,
    probability: bool,
    facts: Mapping[str, Facts],
) -> list[Plan]:
    """The maps of a shard's `own` of the scenes; `names` are all scenes', by path, `facts` a catalog's.

    Raises UsageError for several scenes and one file, DataError for two scenes of one name.
    """
    one_file = is_file(out)
    if one_file and len(names) > 1:
        raise UsageError(f"--out {out}: is one file for {len(names)} scenes; needs a folder. Name one.")
    counts = Counter(names.values())
    plans = []
    for scene in own:
        stem = names[scene]
        if counts[stem] > 1:
            raise DataError(
                f"{scene}: several scenes are called {stem}; each map needs a name of its own. Name scenes "
                "by their folders with --name-by path."
            )
        path = out if one_file else out / f"{stem}.tif"
        beside = path.with_name(f"{path.stem}.probability{path.suffix}") if probability else None
        tags = {
            f"{_TAG}FORMAT": FORMAT,
            _MODEL: mapper.model,
            _MODEL_PATH: str(relative(str(mapper.path), path.parent)),
            _SETTINGS: json.dumps(mapper.settings),
            **dict(zip(_CLASSES, ("other", mapper.name), strict=True)),
        }
        signed = signed_urls.known(stacks.files(scene))
        plans.append(Plan(scene, path, beside, tags, facts.get(scene), signed))
    return plans


def is_file(out: Path) -> bool:
    return out.suffix.lower() in {".tif", ".tiff"}


def rasters(plans: Sequence[Plan]) -> list[Raster]:
    """All scenes that can be opened."""
    found = []
    for plan in plans:
        with suppress(Exception):  # it is said when its turn comes
            found.append(describe(plan.scene, plan.facts))
    return found


def _content(scene: str, facts: Facts | None) -> str | None:
    """Of the bytes of the scene's files; None where a server has them."""
    if is_remote(scene):
        return None
    files = (locations.pieces(file)[1] for file in stacks.files(scene))
    said = () if facts is None else (dump_json(facts.as_json()),)
    return fingerprint(*(sha256_file(Path(file)) for file in files), *said)


def _is_up_to_date(path: Path, tags: dict[str, str], plan: Plan, overwrite: bool) -> bool:
    """Whether this very map is there. Raises DataError where something else is."""
    if not path.exists():
        return False
    found = cogs.tags(path) if path.is_file() else {}
    if found.get(f"{_TAG}FORMAT") != FORMAT:
        raise DataError(f"{path}: exists and is not a map of tile2vec; it is kept. Choose another --out.")
    if not _stamp(tags).stays(path, _stamp(found), overwrite):
        return False
    same = found.get(_SCENE) == tags[_SCENE]
    return same or (_CONTENT in found and found[_CONTENT] == _content(plan.scene, plan.facts))


def _stamp(tags: Mapping[str, str]) -> Stamp:
    contents = {"model": tags.get(_MODEL), "classes": [tags.get(name) for name in _CLASSES]}
    settings = json.loads(tags.get(_SETTINGS, "{}"))
    return Stamp(settings, {"model": tags.get(_MODEL_PATH)}, contents, by_content=True)
