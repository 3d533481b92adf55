"""Asks which reading of a folder is meant, where somebody is there to answer."""

import sys
from collections.abc import Callable
from typing import TypeVar

import typer

from training.datasets import Question, Task

T = TypeVar("T")


def answered(call: Callable[[Task | None, str | None], T], task: Task | None, labels: str | None) -> T:
    """Return what `call` makes of a task and of labels, asking as long as these leave it open.

    Without a terminal to ask on, the Question is the error, whose text names the options that decide.
    """
    while True:
        try:
            return call(task, labels)
        except Question as question:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            task, labels = _ask(question, labels)


def _ask(question: Question, labels: str | None) -> tuple[Task, str | None]:
    typer.echo(f"{question.what}.", err=True)
    for number, reading in enumerate(question.readings, start=1):
        typer.echo(f"  {number}  {reading.meaning} ({reading.option})", err=True)
    number = 0
    while not 1 <= number <= len(question.readings):
        number = typer.prompt("Which is meant?", type=int, err=True)
    reading = question.readings[number - 1]
    return reading.task, reading.labels or labels
