"""The ratios that the aims are stated in."""

from collections.abc import Iterator, Mapping

from benchmarks.cases import DIALECTS, Row


def headlines(rows: Mapping[str, Row], facts: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Compute the ratios that the aims are stated in."""

    def rate(key: str) -> float:
        return rows[key].median("rate")

    def p50(key: str) -> float:
        return rows[key].median("p50")

    mask = rate("striate | photo to mask | multipart | 32")
    yield "U-Net 32 callers / TensorFlow float32 limit", mask / _best(facts, "nuclei", "tensorflow float32")
    yield (
        "U-Net 32 callers / best engine's limit, decoding included",
        mask / _best(facts, "nuclei", "", "batch 32, decoding"),
    )
    floor = "FastAPI floor | digit | raw"
    yield "digit raw 32 / FastAPI floor", rate("striate | digit | raw | 32") / rate(f"{floor} | 32")
    plain = rate("plain digits | digit | multipart | 32")
    yield "digit multipart 32 / plain FastAPI", rate("striate | digit | multipart | 32") / plain
    yield "digit p50 at 1 / FastAPI floor", p50("striate | digit | raw | 1") / p50(f"{floor} | 1")
    yield "U-Net 32 / plain FastAPI", mask / rate("plain nuclei | photo to mask | multipart | 32")
    one, other = (f"{name} | photo to mask | multipart | 1" for name in ("striate", "plain nuclei"))
    yield "U-Net p50 at 1 / plain FastAPI", p50(one) / p50(other)
    large, other = (f"{name} | 12 MP to mask | multipart | 8" for name in ("striate", "plain nuclei"))
    yield "12 MP 8 callers / plain FastAPI", rate(large) / rate(other)
    for workload, form, _ in DIALECTS:
        for callers in (1, 32):
            own, other = (f"striate | {workload} | {way} | {callers}" for way in ("raw", form))
            yield f"{workload} as {form} / raw on our own face, {callers}", rate(other) / rate(own)
    memory = facts["memory of striate, MB (PSS)"]
    yield (
        "memory, all models / plain FastAPI with one",
        memory / facts["memory of plain nuclei, MB (PSS)"],
    )
    yield (
        "start to ready / import tensorflow",
        facts["start to ready, s"] / facts["import tensorflow, s"],
    )
    beside, alone = (facts[f"digit, 1 caller {how}: p99 ms"] for how in ("beside 32 of the U-Net", "alone"))
    yield "digit p99 at 1 caller beside 32 of the U-Net / alone", beside / alone
    for key, row in rows.items():
        if row.case.server == "striate" and row.case.callers == 32:
            yield f"p99 / p50: {key}", row.median("p99") / row.median("p50")


def _best(facts: Mapping[str, float], model: str, engine: str, batch: str = "") -> float:
    """Return the model's highest limit among the engines and batches whose names start and end so."""
    start = f"limit {model} | {engine}"
    decoding = "decoding" in batch
    return max(
        fact
        for key, fact in facts.items()
        if key.startswith(start) and key.endswith(batch) and ("decoding" in key) == decoding
    )
