"""Figures to pictures."""

from pathlib import Path

from training.loop import read_history


def draw_curves(history: Path, monitor: str, picture: Path) -> None:
    """Draw loss and the monitored figure per epoch, training and validation, the best epoch marked."""
    from matplotlib.figure import Figure

    rows = read_history(history)
    epochs = [row["epoch"] + 1 for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, key in zip(panels, ("loss", monitor.removeprefix("val_")), strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            axes.plot(epochs, [row[prefix + key] for row in rows], label=label)
        axes.set(xlabel="epoch", title=key.replace("_", " "))
        axes.grid(alpha=0.3)
    starts = [epoch for epoch, row in zip(epochs, rows, strict=True) if row.get("phase", 1) > 1]
    if starts and starts[0] > epochs[0]:
        for axes in panels:
            axes.axvline(starts[0] - 0.5, linestyle=":", color="black", label="all layers learn")
    best = max(range(len(rows)), key=lambda index: rows[index][monitor])
    panels[1].axvline(epochs[best], linestyle="--", color="grey", label=f"best: epoch {epochs[best]:.0f}")
    panels[1].legend()
    # Without its date and version the same history gives the same file.
    figure.savefig(picture, dpi=100, metadata={"Software": None})
