"""Pictures of the results, for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.figures import Figure

_BARS: Final = (
    ("token only, as python-pkcs11 offers it", "token_only_by_binding.us_per_record"),
    ("token only, direct calls", "token_only.us_per_record"),
    ("Twinlock, rsa-oaep", "open.rsa_oaep.us_per_record"),
    ("the same calls from C", "floor.rsa_oaep.us_per_record"),
    ("Twinlock, token-aes", "open.token_aes.us_per_record"),
    ("the same calls from C ", "floor.token_aes.us_per_record"),
)
_RATIOS: Final = (
    "open.rsa_oaep.vs_token_only",
    "open.token_aes.vs_token_only",
    "open.rsa_oaep.vs_floor",
    "open.token_aes.vs_floor",
    "bulk_1mib.vs_floor",
    "open.vs_members_10000",
)


def draw(results: Mapping[str, Figure], folder: Path) -> None:
    """Write opening.png and ratios.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for name, rows, label in (
        ("opening", _BARS, "µs per record of 200 bytes, 100 per release, one thread"),
        ("ratios", tuple((key, key) for key in _RATIOS), "ratio; a line at 1"),
    ):
        figure, axes = pyplot.subplots(figsize=(8, 3), layout="constrained")
        found = [(title, results[key]) for title, key in rows]
        medians = [item.median for _, item in found]
        spread = [
            [item.median - item.low for _, item in found],
            [item.high - item.median for _, item in found],
        ]
        axes.barh([title for title, _ in found], medians, xerr=spread, color="#3b6ea5")
        axes.invert_yaxis()
        axes.set_xlabel(label)
        if name == "ratios":
            axes.axvline(1, color="black", linewidth=0.8)
        figure.savefig(folder / f"{name}.png", dpi=120)
        pyplot.close(figure)
