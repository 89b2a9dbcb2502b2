"""The vectors beside everything a user might take instead, none of which sees a label: one table.

    python benchmarks/rivals.py --data NAME=TILES[:LABELS[:FIELDS]] --out DIR [--transfer] [--rows a,b]
        [--train "NAME=OPTIONS"] [--trainings 3] [--once NAME] [--n-labels 50,100,1000] [--rgb NAME=1,2,3]

Aerial imagery of six cities, Landsat of Gewata at 25 pixels, the sample, and dates of North Dakota:

    D=../shared/data; S=sample_data; T=/tmp/rivals
    tile2vec tile $D/naip_california --bands 1,2,3,4 --alpha data --out $T/ca
    tile2vec tile $D/landsat_gewata/gewata_L7_B1-5_7.tif --size 25 --out $T/ge
    tile2vec tile $S/scenes --out $T/sa
    tile2vec tile $D/naip_north_dakota --snap --out $T/nd
    python benchmarks/rivals.py --out $T/out --transfer \\
        --data california=$T/ca:$D/naip_california/tree_density.gpkg:density,city \\
        --data gewata=$T/ge:$D/landsat_gewata/gewata_lulc.tif --rgb gewata=3,2,1 \\
        --data sample=$T/sa:$S/labels.tif --data dakota=$T/nd

Columns, by task: the probe's accuracy with so many labels on held-out blocks (ten draws), and recall, the
share of a tile's 20 nearest in other blocks that are of its class. Where a set holds several dates of one
place, also how often the nearest vector of another date is of the same place. The product's own vectors are
compared as they are; for all others the better of that and standardised ones counts.

Standard errors join those over draws (recall, places: ten groups of blocks, of places) and over trainings.
The last line counts the cells in which the default is first, and in which it is no further from the first
than the larger of both standard errors. --transfer adds tables for which everything is fitted (filters,
components, training) on the tiles of half of the blocks and judged on the others.

Vectors and scores are kept in DIR, by the row's options and seed: run it again and it goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from command import argument_parser
from rival_rows import DEFAULT, PARTS, TRAINED, Bench, LeftOut, Row, Vectors, rows, slug
from rival_scores import Judge, Scores, judge

from tile2vec_cli.evaluation import splits
from tile2vec_cli.geo.grid import Ints, spatial_blocks
from tile2vec_cli.outputs.parts import new_file
from tile2vec_cli.tiling.tiles import TileSet

SEEDLESS = {"stats", "imagenet"}  # the same whatever the seed

Cells = dict[str, dict[str, tuple[float, float]]]  # by row and column: mean and standard error


@dataclass(frozen=True)
class Data:
    """NAME=TILES[:LABELS[:FIELDS]]"""

    name: str
    tiles: TileSet
    labels: str
    fields: list[str]
    rgb: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, rgb: Mapping[str, str]) -> Data:
        name, _, rest = text.partition("=")
        tiles, source, fields, *_ = [*rest.split(":"), "", ""]
        bands = tuple(int(band) for band in rgb.get(name, "1,2,3").split(","))
        return cls(name, TileSet.open(Path(tiles)), source, fields.split(","), bands)

    def halves(self) -> tuple[Ints, Ints]:
        """Positions of the tiles of half of the blocks, and of the others."""
        blocks = spatial_blocks(self.tiles.lonlat, splits.BLOCK_SIDES * self.tiles.side_m)
        order = np.random.default_rng(0).permutation(np.unique(blocks))
        first = np.isin(blocks, order[::2])
        return np.flatnonzero(first), np.flatnonzero(~first)


def scored(
    name: str, options: str, row: Row, seed: int, bench: Bench, judge: Judge, *, as_is: bool
) -> Scores:
    """From the bench's folder where they are known."""
    stem = f"{slug(name)}-{slug(options)}-{seed}" if options else f"{slug(name)}-{seed}"
    counts = "-".join(map(str, judge.config.n_labels))
    path = bench.folder / "scores" / f"{stem}-{counts}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        vectors = _vectors(bench.folder / "vectors" / f"{stem}.npy", row, seed, bench)
        found = judge.scores(vectors[judge.ids], as_is)
        with new_file(path) as temporary:
            temporary.write_text(json.dumps(found))
    return dict(json.loads(path.read_text()))


def _vectors(path: Path, row: Row, seed: int, bench: Bench) -> Vectors:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = row(bench, seed)
        with new_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, found)
    vectors: Vectors = np.load(path)
    return vectors


def cell(scores: list[list[float]]) -> tuple[float, float]:
    """Mean and standard error of what each training reached in each draw."""
    each = np.array(scores)
    means = (each.mean(axis=0), each.mean(axis=1))  # of each draw, of each training
    squares = [one.var(ddof=1) / len(one) for one in means if len(one) > 1]
    return float(each.mean()), float(np.sqrt(sum(squares)))


def table(cells: Cells) -> str:
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    best = {column: max(row[column][0] for row in cells.values()) for column in columns}
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for name, row in cells.items():
        shown = [f"{mean:.3f} ± {error:.3f}" for mean, error in (row[column] for column in columns)]
        means = [row[column][0] for column in columns]
        bold = [
            f"**{text}**" if mean == best[column] else text
            for text, mean, column in zip(shown, means, columns, strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(bold)} |")
    return "\n".join(lines)


def wins(cells: Cells) -> tuple[int, int, int]:
    """Cells in which the default is first, in which it is within a standard error of that, and all."""
    own = cells.get(DEFAULT, {})
    rivals = [row for name, row in cells.items() if name not in {DEFAULT, *PARTS}]
    first = near = 0
    for column, (mean, error) in own.items() if rivals else ():
        most, its_error = max(row[column] for row in rivals)
        first += mean > most
        near += mean > most - max(error, its_error)
    return first, near, len(own) if rivals else 0


def pairs(values: list[str]) -> dict[str, str]:
    """NAME=VALUE, several of them."""
    return {name: value for name, _, value in (text.partition("=") for text in values)}


def arguments() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--transfer", action="store_true")
    parser.add_argument("--rows", help="which, by name (default: all)")
    parser.add_argument("--train", action="append", default=[])
    parser.add_argument("--trainings", type=int, default=3)
    parser.add_argument("--once", action="append", default=[], help="a row that is trained once")
    parser.add_argument("--n-labels", default="50,100,1000")
    parser.add_argument("--rgb", action="append", default=[])
    return parser.parse_args()


def main() -> None:
    options = arguments()
    trainings = {**TRAINED, **pairs(options.train)}
    chosen = rows(trainings)
    if options.rows:
        chosen = {name: chosen[name] for name in options.rows.split(",")}
    n_labels = tuple(int(count) for count in options.n_labels.split(","))
    said, total = [], np.zeros(3, int)
    for data in (Data.parse(text, pairs(options.rgb)) for text in options.data):
        every = np.arange(len(data.tiles))
        modes = {"": (every, every), **({"transfer": data.halves()} if options.transfer else {})}
        for mode, (source, judged) in modes.items():
            bench = Bench(data.tiles, source, options.out / data.name / (mode or "whole"), data.rgb)
            asked = judge(data.tiles, data.labels, data.fields, judged, n_labels)
            cells: Cells = {}
            for name, row in chosen.items():
                seeds = range(1 if name in {*SEEDLESS, *options.once} else options.trainings)
                own = trainings.get(DEFAULT if name in PARTS else name, "")
                try:
                    found = [
                        scored(name, own, row, seed, bench, asked, as_is=name in {DEFAULT, *PARTS})
                        for seed in seeds
                    ]
                except LeftOut as error:
                    print(f"{data.name}: {name} is left out: {error}", file=sys.stderr, flush=True)
                    continue
                cells[name] = {key: cell([one[key] for one in found]) for key in found[0]}
            total += wins(cells)
            title = f"{data.name}, {len(judged):,} tiles"
            title += f", fitted on {len(source):,} others" if mode else ""
            said.append(f"### {title}\n\n{table(cells)}")
            print(f"{said[-1]}\n", flush=True)
    first, near, count = total.tolist()
    said.append(f"The default is first in {first} of {count} cells, within a standard error in {near}.")
    print(said[-1])
    (options.out / "rivals.md").write_text("\n\n".join(said) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
