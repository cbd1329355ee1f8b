"""Staging beyond :func:`scones_ml.dataset.stage`: reviewers' answers as a source, and the way to S3."""

from __future__ import annotations

import os
from pathlib import Path

from scones_ml import dataset
from scones_ml.dataset.annotated import is_annotations
from scones_ml.dataset.transfer import check_upload
from scones_ml.events import parse_uri
from scones_ml.lifecycle.verbs import plan_upload, recording
from scones_ml.ports import Backend, ObjectStore, Progress, mark_prefix, no_progress

__all__ = ["source_of", "upload_staged"]


def source_of(
    source: str | os.PathLike[str] | dataset.Source, answers: Path | None, store: ObjectStore
) -> str | dataset.Source:
    """What to stage where reviewers' answers have a part in it; else the source as it was named.

    Args:
        source: as for :func:`scones_ml.dataset.stage`; a staged data set where there are answers to extend it by.
        answers: what ``scones review`` wrote.
        store: where the reviewed images are.

    Raises:
        DatasetError: answers are given, and ``source`` is not a staged data set.
    """
    if not isinstance(source, str | os.PathLike):
        return source
    name = os.fspath(source)
    if answers:
        return dataset.ExtendedDataset(dataset.load(name), dataset.AnnotatedImages(answers, store))
    path = Path(name)
    return dataset.AnnotatedImages(path, store) if path.is_file() and is_annotations(path) else name


def upload_staged(
    backend: Backend,
    data: dataset.Dataset,
    uri: str,
    store: ObjectStore,
    region: str,
    progress: Progress = no_progress,
) -> dataset.Upload:
    """Copy a staged data set to S3, on record and under our mark, so that cleanup empties the prefix.

    Args:
        backend: of this machine, which keeps the record.
        data: what to copy.
        uri: ``s3://bucket/prefix``.
        store: S3.
        region: of the account's resources.
        progress: counts objects.

    Raises:
        DatasetError: something else is there.
    """
    check_upload(data, uri, store)
    with recording(backend, plan_upload(uri, region)):
        mark_prefix(store, *parse_uri(f"{uri.rstrip('/')}/"))
        return dataset.upload(data, uri, store, progress)
