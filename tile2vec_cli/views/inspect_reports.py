"""An inspection from files to files: report.json, inspect.html and its pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import InspectConfig
from tile2vec_cli.evaluation.scores import Score, rounded
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Folder, Keys, Maker, Report
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import contact_sheets, inspect_figures, inspection
from tile2vec_cli.views.contact_sheets import Group, Source
from tile2vec_cli.views.factors import Told
from tile2vec_cli.views.inspection import Component, Inspection, Part
from tile2vec_cli.views.spectra import Spectrum

FORMAT = "tile2vec-inspect/1"
REPORT, PAGE = "report.json", "inspect.html"
FACTORS, SPECTRUM, COMPONENTS = "factors.png", "spectrum.png", "components.png"

_TOLD, _OWN = 0.5, 0.8  # R² from which a factor is told; share of it from which one dimension tells it
_FOLLOWED = 0.5  # |r| from which a component follows a factor
_FEW = 0.1  # of the dimensions: an effective rank below is low
_RIVALS = {"stats": "band statistics", "rcf": "random convolutional features"}

_SAID = {"verdicts": dict, "pictures": list}
_FACTOR = ("factor", "together", "alone", "dimension")
_CAPTIONS = {
    FACTORS: "Left: how well a linear rule tells each factor on blocks that were left out, from all "
    "dimensions and from the best one. Right: squared correlation of each dimension with each factor.",
    SPECTRUM: "Left: how much of the variance the first principal components hold. "
    "Right: cosines of pairs of tiles; where all are near 1, the vectors point one way.",
    COMPONENTS: "The tiles at either end of the first principal components.",
}


def run(
    embeddings: Path,
    config: InspectConfig,
    out: Path,
    *,
    tiles: Path | None = None,
    labels: str | LabelSource | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Inspect the embeddings and write the folder `out`, unless it is up to date.

    Raises InputError and DataError for what cannot be read or used, DataError where `out` holds a report
    made with other settings, OutputError where it cannot be written.
    """
    source = None if tiles is None else Source.of(tiles, config.rgb)
    inputs: dict[str, records.Input] = {"embeddings": embeddings, "tiles": tiles, "labels": labels}
    known = {} if source is None else {"tiles": source.tiles.fingerprint}
    made_from = records.made_from(out, config.settings(), inputs, known)
    folder = Folder(out / REPORT, FORMAT, made_from, tuple(out / name for name in (PAGE, *_CAPTIONS)))
    found = folder.current([out / PAGE], overwrite, _SAID)
    if found is not None and all((out / name).exists() for name in found["pictures"]):
        return Report(found, _files(out, found), True)
    tile_set: TileSet | None = None if source is None else source.tiles
    seen = inspection.inspect(embeddings, config, tile_set, labels, on_progress)
    makers: dict[str, Maker] = {
        SPECTRUM: lambda path: inspect_figures.spectrum(path, seen.spectrum, seen.cosines)
    }
    if seen.told:
        makers[FACTORS] = lambda path: inspect_figures.factors(path, seen.told, seen.squared)
    if source is not None and seen.components:
        groups = [group for k, one in enumerate(seen.components) for group in _groups(k, one, source)]
        makers[COMPONENTS] = lambda path: contact_sheets.write(path, groups)
    keys = {**_keys(seen), "pictures": [name for name in _CAPTIONS if name in makers]}
    makers[PAGE] = lambda path: path.write_text(_page(embeddings.name, keys), encoding="utf-8")
    folder.write({out / name: make for name, make in makers.items()}, keys)
    return Report(keys, _files(out, keys), False)


def _files(out: Path, keys: Keys) -> tuple[Path, ...]:
    return tuple(out / name for name in (REPORT, PAGE, *keys["pictures"]))


def _groups(number: int, component: Component, source: Source) -> list[Group]:
    name = f"Component {number + 1}, {100 * component.share:.0f} % of the variance"
    if component.factor is not None:
        name += f", r = {component.correlations[component.factor]:.2f} with {component.factor}"
    return [
        source.group(f"{name}: lowest", component.lowest, colour="orange"),
        source.group("highest", component.highest, colour="blue"),
    ]


# --- findings ----------------------------------------------------------------------------------


def _keys(seen: Inspection) -> Keys:
    own = seen.spectrum
    return {
        "verdicts": _verdicts(seen),
        "tiles": own.count,
        "dim": own.dim,
        "effective_rank": round(own.effective_rank, 3),
        "components_for_90": own.components_for_90,
        "dead_dimensions": own.dead,
        "zero_vectors": own.zero,
        "mean_cosine": round(own.mean_cosine, 4),
        "sample": seen.sample,
        "blocks": seen.blocks,
        "factors": [
            {**rounded(asdict(one)), "concentration": round(one.concentration, 4)} for one in seen.told
        ],
        "components": [
            {
                "share": round(one.share, 4),
                "factor": one.factor,
                "correlations": rounded(one.correlations),
                "lowest": list(one.lowest),
                "highest": list(one.highest),
            }
            for one in seen.components
        ],
        "probe": None if seen.probe is None else seen.probe.report(),
        **({"parts": {name: _part(part) for name, part in seen.parts.items()}} if seen.parts else {}),
    }


def _part(part: Part) -> Keys:
    return {
        "dim": part.spread.dim,
        "share": round(part.share, 4),
        "effective_rank": round(part.spread.effective_rank, 3),
        "components_for_90": part.spread.components_for_90,
        "factors": rounded(part.told),
    }


def _verdicts(seen: Inspection) -> dict[str, str]:
    return {
        "spread": _spread(seen.spectrum, seen.parts),
        "easier tasks": _easier(None if seen.probe is None else seen.probe.scores, seen.parts),
        "disentangled": _disentangled(seen.told, seen.blocks),
        "interpretable": _interpretable(seen.components),
    }


def _spread(own: Spectrum, parts: Mapping[str, Part]) -> str:
    if own.effective_rank < 1.5:
        what = "collapsed: the vectors vary in one direction at most"
    elif own.effective_rank < _FEW * own.dim:
        what = "narrow: few directions hold most of the variance"
    else:
        what = "no collapse"
    text = (
        f"{what}; effective rank {own.effective_rank:.1f} of {own.dim}, {own.components_for_90} components "
        f"hold 90 % of the variance, {own.dead} dimensions are dead, mean cosine {own.mean_cosine:.2f}"
    )
    for name, part in parts.items():
        text += f"; {name} alone: rank {part.spread.effective_rank:.1f} of {part.spread.dim}"
    return text


def _easier(scores: tuple[Score, ...] | None, parts: Collection[str]) -> str:
    if scores is None:
        return "not judged: give labels with --labels"
    most = max(score.n_labels for score in scores)
    found = {score.features: score for score in scores if score.n_labels == most}
    own = found.pop("embeddings")
    text = f"accuracy {own.accuracy:.3f} with {most:,} labels"
    if parts:
        alone = [f"{name} {found.pop(name).accuracy:.3f}" for name in parts]
        text += f" ({', '.join(alone)} alone)"
    if not found:
        return f"{text}; --tiles would tell what {_listed([*_RIVALS.values()])} reach"
    rival = max(found.values(), key=lambda score: score.accuracy)
    lead = own.accuracy - rival.accuracy
    # Beyond what one draw of the split differs from another.
    sure = max(own.std, rival.std)
    what = "yes" if lead > sure else "no" if lead < -sure else "hardly"
    return f"{what}: {text}, {rival.accuracy:.3f} from {_RIVALS[rival.features]}"


def _disentangled(told: list[Told], blocks: int) -> str:
    if not told:
        reason = "all tiles lie in one block; make --block smaller" if blocks < 2 else "no factor varies"
        return f"not judged: {reason}"
    good = [one for one in told if one.together >= _TOLD]
    own = [one.factor for one in good if one.concentration >= _OWN]
    text = f"{len(good)} of {len(told)} factors are predicted by all dimensions together (R² ≥ {_TOLD})"
    if not good:
        return f"no factor to judge by: {text}"
    mean = sum(one.concentration for one in good) / len(good)
    what = "yes" if mean >= _OWN else "partly" if own or mean >= _TOLD else "no"
    named = f", {_listed(own)} by one nearly as well" if own else ""
    return f"{what}: {text}{named}; on average one dimension tells {100 * mean:.0f} % of what all tell"


def _interpretable(components: list[Component]) -> str:
    followed = [
        f"{k} {one.factor} (r = {one.correlations[one.factor]:.2f})"
        for k, one in enumerate(components, 1)
        if one.factor is not None and abs(one.correlations[one.factor]) >= _FOLLOWED
    ]
    total = len(components)
    if not total:
        return "no: all vectors are alike"
    if not followed:
        return f"none of the first {total} components follows a known factor: look at their tiles"
    return f"{len(followed)} of the first {total} components follow a known factor: {', '.join(followed)}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


# --- the page ----------------------------------------------------------------------------------

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "img{max-width:100%}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;"
    "border-bottom:1px solid #ddd}td.n{text-align:right}figcaption{color:#555}dt{font-weight:bold}"
)


def _page(title: str, keys: Keys) -> str:
    verdicts = "".join(
        f"<dt>{escape(sense.capitalize())}</dt><dd>{escape(text)}.</dd>\n"
        for sense, text in keys["verdicts"].items()
    )
    figures = "".join(
        f'<figure><img src="{name}" alt=""><figcaption>{escape(_CAPTIONS[name])}</figcaption></figure>\n'
        for name in keys["pictures"]
    )
    parts = keys.get("parts", {})
    factors = _table(
        [
            "factor",
            "R², all dimensions",
            *(f"R², {name}" for name in parts),
            "R², best one",
            "that dimension",
        ],
        [
            [name, together, *(part["factors"][name] for part in parts.values()), alone, dimension]
            for row in keys["factors"]
            for name, together, alone, dimension in [[row[key] for key in _FACTOR]]
        ],
    )
    whole = {**keys, "share": 1.0}
    spread = _table(
        ["part of the vectors", "numbers", "share of the variance", "effective rank", "components for 90 %"],
        [
            [name, *(own[key] for key in ("dim", "share", "effective_rank", "components_for_90"))]
            for name, own in {"whole": whole, **parts}.items()
            if parts
        ],
    )
    scores = (keys["probe"] or {"scores": []})["scores"]
    probe = _table(
        ["features", "labels", "accuracy", "deviation"],
        [[row[key] for key in ("features", "n_labels", "accuracy", "std")] for row in scores],
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n"
        f"<p>{keys['tiles']:,} tiles, vectors of {keys['dim']:,} numbers; factors and labels judged on "
        f"{keys['sample']:,} tiles in {keys['blocks']:,} blocks.</p>\n"
        f"<dl>\n{verdicts}</dl>\n{figures}{spread}{probe}{factors}</html>\n"
    )


def _table(header: list[str], rows: list[list[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}</table>\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="n">{value:.3f}</td>'
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
