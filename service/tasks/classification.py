"""Classification: one row -> the most probable labels."""

from service.manifest import Manifest
from service.schemas import Classification, ClassifyOptions, ClassifyResponse, LabelScore, Localization
from service.tasks.task import Row, ServedTask, Size, unit

TOP_K: int = ClassifyOptions.model_fields["top_k"].default


def classify(row: Row, manifest: Manifest, options: ClassifyOptions) -> Classification:
    """Name the most probable classes."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    # As a list: for the few classes of most models, NumPy takes longer to begin than Python to finish.
    scores = row["scores"].tolist()
    best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: options.top_k]
    ranked = [LabelScore(manifest.labels[index], unit(scores[index])) for index in best]
    top = tuple(each for each in ranked if each.score >= threshold)
    return Classification(label=top[0].label if top else None, score=ranked[0].score, top=top)


def _answer(row: Row, manifest: Manifest, options: ClassifyOptions, _: Size) -> Classification:
    return classify(row, manifest, options)


def words(found: Classification | Localization) -> str:
    """Return the label, and how sure it is."""
    return f"{found.label or 'unsure'} {found.score:.4f}"


CLASSIFICATION = ServedTask(
    name="classification",
    path="/classify",
    summary="Name what is in each image: the most probable labels with their scores.",
    options=ClassifyOptions,
    response=ClassifyResponse,
    answer=_answer,
    columns=lambda _: ("label", "score"),
    # None where the score is below the threshold: an empty cell.
    cells=lambda found: (found.label, found.score),
    words=words,
    threshold=lambda _: "labels of a lower score are left out",
    facts=lambda _: [("Labels told", f"the {TOP_K} best unless `top_k` asks for other than {TOP_K}")],
)
