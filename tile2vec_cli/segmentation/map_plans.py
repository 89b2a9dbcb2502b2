"""Maps that are to be made: of which scenes, where they go, and whether they are there already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo.rasters import describe, identity
from tile2vec_cli.geo.scene_lists import scene_name
from tile2vec_cli.outputs import cogs
from tile2vec_cli.outputs.parts import dump_json, fingerprint

FORMAT = "tile2vec-map/1"
_TAG = "TILE2VEC_"


@dataclass(frozen=True)
class Plan:
    """One scene and where its map goes."""

    scene: str
    path: Path
    probability: Path | None
    tags: dict[str, str]  # all but what tells whether the scene has changed

    def absolute(self) -> Plan:
        """The same, wherever the worker is."""
        probability = self.probability and self.probability.absolute()
        return replace(self, path=self.path.absolute(), probability=probability)

    def tags_now(self) -> dict[str, str]:
        """With what tells whether the scene has changed."""
        return {**self.tags, f"{_TAG}SCENE": fingerprint(dump_json(identity(self.scene)))}

    def is_made(self, overwrite: bool) -> bool:
        """Whether all that is to be made of the scene is there. Raises DataError where something else is."""
        tags = self.tags_now()
        made = _is_up_to_date(self.path, tags, overwrite)
        if self.probability is None:
            return made
        return _is_up_to_date(self.probability, tags, overwrite) and made


def plans(
    scenes: Sequence[str], own: Sequence[str], out: Path, model: str, name: str, *, probability: bool
) -> list[Plan]:
    """The maps of a shard's `own` of the scenes, with the model of this fingerprint for the class `name`.

    Raises UsageError for several scenes and one file, or of one name.
    """
    one_file = is_file(out)
    if one_file and len(scenes) > 1:
        raise UsageError(f"--out {out}: is one file for {len(scenes)} scenes; needs a folder. Name one.")
    counts = Counter(scene_name(scene) for scene in scenes)
    plans = []
    for scene in own:
        stem = scene_name(scene)
        if counts[stem] > 1:
            raise UsageError(f"{scene}: several scenes are called {stem}; each map needs a name of its own.")
        path = out if one_file else out / f"{stem}.tif"
        beside = path.with_name(f"{path.stem}.probability{path.suffix}") if probability else None
        tags = {
            f"{_TAG}FORMAT": FORMAT,
            f"{_TAG}MODEL": model,
            f"{_TAG}CLASS_0": "other",
            f"{_TAG}CLASS_1": name,
        }
        plans.append(Plan(scene, path, beside, tags))
    return plans


def is_file(out: Path) -> bool:
    return out.suffix.lower() in {".tif", ".tiff"}


def pixels(plans: Sequence[Plan]) -> int:
    """Of all scenes that can be opened."""
    total = 0
    for plan in plans:
        try:
            raster = describe(plan.scene)
        except Exception:  # it is said when its turn comes
            continue
        total += raster.height * raster.width
    return total


def _is_up_to_date(path: Path, tags: dict[str, str], overwrite: bool) -> bool:
    """Whether this very map is there. Raises DataError where something else is."""
    if not path.exists():
        return False
    found = cogs.tags(path) if path.is_file() else {}
    if found.get(f"{_TAG}FORMAT") != FORMAT:
        raise DataError(f"{path}: exists and is no map of ours; it is not replaced. Choose another --out.")
    if found.get(f"{_TAG}MODEL") != tags[f"{_TAG}MODEL"] and not overwrite:
        raise DataError(
            f"{path}: made with model {found.get(f'{_TAG}MODEL')}; this run has {tags[f'{_TAG}MODEL']}. "
            "Choose another output, or --overwrite to replace it."
        )
    return all(found.get(name) == value for name, value in tags.items())
