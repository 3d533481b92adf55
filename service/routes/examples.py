"""Examples for the interface's document: of every operation a request to copy, and what is answered to it."""

from typing import Any

from service.errors import NotAnImage
from service.tasks import explanation
from service.tasks.task import Face

Answer = dict[str, Any]

_ADDRESS = "http://127.0.0.1:8000"

_PHOTO = "curl -F file=@photo.jpg"
_JSON = "-H 'Content-Type: application/json'"
_REQUESTS = {
    ("post", "/classify"): (
        f"{_PHOTO} HOST/classify",
        f"{_PHOTO} 'HOST/classify?model=pets&version=6&top_k=3&threshold=0.2'",
        f"{_PHOTO} 'HOST/classify?model=pets&label=canary'",
        "curl -F file=@one.jpg -F file=@two.png HOST/classify",
        "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' HOST/classify",
        "curl -d '{\"image\": \"'$(base64 -w0 photo.jpg)'\"}' " + f"{_JSON} HOST/classify",
    ),
    ("post", "/localize"): (
        f"{_PHOTO} HOST/localize",
        f"{_PHOTO} -H 'Accept: image/png' -o drawn.png 'HOST/localize?overlay=true'",
        f"{_PHOTO} 'HOST/localize?model=mine&labels=cat,dog&max_objects=20&threshold=0.4&tile=640'",
        f"{_PHOTO} 'HOST/localize?model=pet-heads&version=5'",
        f"{_PHOTO} 'HOST/localize?model=pet-heads&label=canary'",
    ),
    ("post", "/segment"): (
        f"{_PHOTO} HOST/segment",
        f"{_PHOTO} 'HOST/segment?mask=rle'",
        f"{_PHOTO} 'HOST/segment?mask=polygons&instances=true'",
        f"{_PHOTO} 'HOST/segment?model=nuclei&version=2&mask=none&instances=true&threshold=0.6'",
        f"{_PHOTO} 'HOST/segment?model=nuclei&label=canary'",
        f"{_PHOTO} -H 'Accept: image/png' -o mask.png HOST/segment",
        f"{_PHOTO} -H 'Accept: image/png' -o drawn.png 'HOST/segment?overlay=true&instances=true'",
    ),
    ("post", "/explain"): (
        f"{_PHOTO} HOST/explain",
        f"{_PHOTO} -H 'Accept: image/png' -o seen.png HOST/explain",
        f"{_PHOTO} 'HOST/explain?model=pets&version=6&target=cat&grid=10'",
        f"{_PHOTO} 'HOST/explain?model=pets&label=canary'",
    ),
    ("get", "/summary"): (
        "curl HOST/summary",
        "curl -H 'Accept: text/plain' 'HOST/summary?model=digits'",
        "curl 'HOST/summary?model=digits&version=2'",
        "curl 'HOST/summary?model=digits&measure=true'",
    ),
    ("get", "/livez"): ("curl HOST/livez",),
    ("get", "/readyz"): ("curl HOST/readyz",),
    ("get", "/metrics"): (
        "curl HOST/metrics",
        "curl -H 'Accept: application/openmetrics-text' HOST/metrics",
    ),
    ("get", "/admin/models"): ("curl HOST/admin/models",),
    ("post", "/admin/models"): (
        """curl -d '{"pin": 6, "labels": {"canary": 7}, "canary_share": 0.1}' """
        f"{_JSON} 'HOST/admin/models?model=pets'",
    ),
}

_SIZE = {"width": 8, "height": 4}
_CLASSES = [
    {"label": "background", "index": 0, "pixels": 19, "fraction": 0.59375},
    {"label": "nucleus", "index": 1, "pixels": 13, "fraction": 0.40625},
]
_NONE = dict.fromkeys(("mask", "instances", "instance_count"))
_OUTLINES = [[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0], [5.0, 0.0, 5.0, 2.0, 7.0, 2.0, 7.0, 0.0]]
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAEAQMAAACJA+yzAAAABlBMVEUAAADmnwD+0YMIAAAADklEQVR4AWNgZ0gHQgYAA3EA1vXftd0A"
    "AAAASUVORK5CYII="
)
_RLE = {"label": "nucleus", "size": [4, 8], "counts": "522071H0000"}
_POLYGONS = {"label": "nucleus", "outlines": _OUTLINES, "holes": []}


def _mask(**changes: Any) -> Answer:
    return {**_SIZE, "classes": _CLASSES, **_NONE, **changes}


def _instance(outline: list[float], box: tuple[int, int, int, int], area: int, score: float) -> Answer:
    names = ("x_min", "y_min", "x_max", "y_max")
    return {
        "label": "nucleus",
        "box": dict(zip(names, box, strict=True)),
        "area": area,
        "score": score,
        "mask": {"encoding": "polygons", "outlines": [outline], "holes": []},
    }


_OBJECTS = [
    _instance(_OUTLINES[1], (5, 0, 8, 3), 9, 0.8),
    _instance(_OUTLINES[0], (1, 1, 3, 3), 4, 0.9),
]
_CATS = {"label": "Bengal", "score": 0.61}, {"label": "Egyptian Mau", "score": 0.3}
_REFUSED = NotAnImage("The data is of no image format that is known here.").problem()

_MORE: dict[str, dict[str, tuple[str, list[Answer]]]] = {
    "/classify": {
        "groups": (
            "By a model whose labels have groups; top_k=2.",
            [{"label": "Bengal", "score": 0.61, "group": "cat", "group_score": 0.97, "top": list(_CATS)}],
        ),
        "threshold": (
            "With threshold=0.8, which no label reaches.",
            [{"label": None, "score": 0.61, "top": []}],
        ),
        "familiarity": (
            "By a model that tells how familiar an image is: this one hardly.",
            [{"label": "7", "score": 0.4, "top": [{"label": "7", "score": 0.4}], "familiarity": 0.002}],
        ),
        "several images": (
            "Two images, one of which is none.",
            [{"label": "7", "score": 0.99, "top": [{"label": "7", "score": 0.99}]}, {"error": _REFUSED}],
        ),
    },
    "/segment": {
        "png": (
            "The mask as a picture, as without mask=.",
            [_mask(mask={"encoding": "png", "data": _PNG})],
        ),
        "rle": ("With mask=rle.", [_mask(mask={"encoding": "rle", "classes": [_RLE]})]),
        "polygons": ("With mask=polygons.", [_mask(mask={"encoding": "polygons", "classes": [_POLYGONS]})]),
        "objects": (
            "With mask=polygons and instances=true.",
            [
                _mask(
                    mask={"encoding": "polygons", "classes": [_POLYGONS]},
                    instances=_OBJECTS,
                    instance_count=2,
                )
            ],
        ),
    },
}

_MODEL = {"name": "mine", "version": 1}

EXPLANATION: dict[str, Any] = {
    "map": {
        "summary": "With grid=3: what mattered lies in the middle and on its right.",
        "value": {
            "model": _MODEL,
            "results": [
                {
                    "label": "cat",
                    "score": 0.91,
                    "least_score": 0.34,
                    "map": [[0.31, 0.9, 0.74], [0.42, 1.68, 1.61], [-0.05, 1.12, 1.1]],
                    "box": {"x_min": 0.0, "y_min": 0.0, "x_max": 400.0, "y_max": 300.0},
                    "box_normalized": {"x_min": 0.0, "y_min": 0.0, "x_max": 1.0, "y_max": 1.0},
                    "width": 400,
                    "height": 300,
                    "meaning": explanation.meaning("cat", 0.91, 0.34, 1.68),
                }
            ],
        },
    }
}
"""Whole responses of /explain, by their names."""

_OTHERS: dict[tuple[str, str], tuple[str, Any]] = {
    ("get", "/summary"): (
        "The list of live models, shortened; with ?model=NAME one of them, and its layers.",
        {
            "models": [{"name": "digits", "version": 2, "task": "classification", "threshold": 0.0}],
            "refused": {},
        },
    ),
    ("get", "/livez"): ("The process answers.", {"status": "alive"}),
    ("get", "/readyz"): (
        "One model is live; a newer version of it was refused.",
        {
            "status": "ready",
            "models": {"digits": {"live": 2, "refused": {"3": "saved_model.pb is missing."}}},
        },
    ),
    ("get", "/admin/models"): (
        "One model with one version.",
        {
            "models": [
                {
                    "name": "digits",
                    "live": 2,
                    "policy": {"pin": None, "labels": {}, "canary_share": 0.0},
                    "complaint": None,
                    "versions": {"2": {"state": "live"}},
                }
            ],
            "unread": None,
        },
    ),
    ("post", "/admin/models"): (
        "What was written.",
        {"model": "pets", "policy": {"pin": 6, "labels": {"canary": 7}, "canary_share": 0.1}},
    ),
}


def of(face: Face) -> dict[str, Any]:
    """Return whole responses of a face, by their names."""
    told = {name: (each["summary"], [each["answer"]]) for name, each in face.examples.items()}
    return {
        name: {"summary": summary, "value": {"model": _MODEL, "results": results}}
        for name, (summary, results) in (told | _MORE.get(face.path, {})).items()
    }


def complete(document: dict[str, Any], *, keys_needed: bool) -> None:
    """Add to each operation its requests, as lines for a shell, and an example of its answer."""
    key = ' -H "Authorization: Bearer $STRIATE_KEY"' if keys_needed else ""
    for (method, path), lines in _REQUESTS.items():
        operation = document["paths"][path][method]
        written = "\n".join(line.replace("HOST", _ADDRESS).replace("curl", f"curl{key}", 1) for line in lines)
        operation["description"] = f"{operation.get('description', '')}\n\n```\n{written}\n```"
        if (method, path) in _OTHERS:
            summary, value = _OTHERS[method, path]
            content = operation["responses"]["200"]["content"]["application/json"]
            content["examples"] = {"example": {"summary": summary, "value": value}}
