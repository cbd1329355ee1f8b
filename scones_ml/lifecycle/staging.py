"""Staging in addition to :func:`scones_ml.dataset.stage`: review answers as a source, and upload to S3."""

from __future__ import annotations

import os
from pathlib import Path

from scones_ml import dataset
from scones_ml.dataset.annotated import is_annotations
from scones_ml.dataset.transfer import check_upload
from scones_ml.errors import DatasetError
from scones_ml.events import parse_uri
from scones_ml.lifecycle.verbs import plan_upload, recording
from scones_ml.ports import Backend, ObjectStore, Progress, mark_prefix, no_progress

__all__ = ["source_of", "upload_staged"]


def source_of(
    source: str | os.PathLike[str] | dataset.Source, answers: Path | None, store: ObjectStore
) -> str | dataset.Source:
    """The source to stage: with review answers, a staged data set extended by them, otherwise the given source.

    Args:
        source: as for :func:`scones_ml.dataset.stage`; with answers, a staged data set.
        answers: file of review answers from ``scones review``.
        store: store of the reviewed images.

    Raises:
        DatasetError: answers are given, and ``source`` is not a staged data set.
    """
    if not isinstance(source, str | os.PathLike):
        if answers:
            raise DatasetError("review answers extend a staged data set: give its folder as the source")
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
    """Copy a staged data set to S3, recorded and marked as ours, so that clean-up can empty the prefix.

    Args:
        backend: backend of this machine, for its ledger.
        data: the data set.
        uri: ``s3://bucket/prefix``.
        store: the S3 store.
        region: region of the account's resources.
        progress: called for each object.

    Raises:
        DatasetError: the prefix holds something else.
    """
    check_upload(data, uri, store)
    with recording(backend, plan_upload(uri, region)):
        mark_prefix(store, *parse_uri(f"{uri.rstrip('/')}/"))
        return dataset.upload(data, uri, store, progress)
