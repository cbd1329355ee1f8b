"""Warning about a model without a threshold, with the remedy."""

from __future__ import annotations

import shlex
from pathlib import Path

from scones_ml.cli import terminal
from scones_ml.ports import BuiltInModel, Endpoint

__all__ = ["warn_of_no_threshold"]

_ALL = "has no threshold: every image goes to review"


def warn_of_no_threshold(classifier: Endpoint | BuiltInModel | Path, data: str = "DATA") -> None:
    """Print two lines on standard error when the classifier has no threshold.

    Args:
        classifier: a model's folder or archive, or an object with its threshold.
        data: the model's data set as it appears in commands.

    Raises:
        ConfigurationError: ``classifier`` is a path, and not a model.
    """
    if isinstance(classifier, Path):
        from scones_ml.inference.model import read_card
        from scones_ml.lifecycle.advice import what_helps

        card = read_card(classifier)
        if card.threshold is None:
            terminal.say(f"{classifier} {_ALL}")
            terminal.say(f"what helps: {what_helps(card, shlex.quote(str(classifier)), shlex.quote(data))}")
        return
    if classifier.threshold is not None:
        return
    if isinstance(classifier, Endpoint):
        terminal.say(f"endpoint {classifier.name} {_ALL}")
        terminal.say("what helps: `scones threshold MODEL DATA` for the model that it serves, then deploy it again")
    else:
        terminal.say(f"{classifier.uri} {_ALL}")
        terminal.say("what helps: --threshold with the minimum confidence to accept")
