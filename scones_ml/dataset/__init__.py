"""Staging of labelled images as a checked, split and hashed data set on disk.

``stage`` reads a source (a folder of class folders, a manifest or a table, a RecordIO file, a CIFAR-100 archive, an
``s3://`` prefix, reviewers' answers, or synthetic images), reads every image with the image policy
that serving uses, drops duplicates and leaks, splits the rest with near duplicates kept together, and writes::

    DESTINATION/
      dataset.json                       classes, counts, hash, seed, skipped files with reasons
      manifest.jsonl                     one record a line: path, label, class, split, sha256
      train.lst validation.lst ...       for SageMaker's built-in algorithm
      SPLIT/CLASS/NAME.png               SPLIT: train, validation (temperature), calibration (threshold), test

``load`` reads it back; ``write_recordio`` adds RecordIO files; ``upload`` and ``download`` move it to and from an
object store. A new kind of source is one class with the methods of :class:`Source`.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scones_ml.dataset.records import SPLITS, Dataset, Record, Split, load

if TYPE_CHECKING:
    from scones_ml.dataset.annotated import AnnotatedImages, ExtendedDataset
    from scones_ml.dataset.archives import Cifar100
    from scones_ml.dataset.checks import Problem
    from scones_ml.dataset.folders import Folder
    from scones_ml.dataset.grouping import KeptTogether
    from scones_ml.dataset.lists import ListFile
    from scones_ml.dataset.manifests import JsonLines, Table
    from scones_ml.dataset.record_files import RecordFile
    from scones_ml.dataset.recordio import write_recordio
    from scones_ml.dataset.sources import Candidate, Listing, Source, Synthetic
    from scones_ml.dataset.staging import StageResult, stage
    from scones_ml.dataset.transfer import Upload, download, upload

__all__ = [
    "SPLITS",
    "AnnotatedImages",
    "Candidate",
    "Cifar100",
    "Dataset",
    "ExtendedDataset",
    "Folder",
    "JsonLines",
    "KeptTogether",
    "ListFile",
    "Listing",
    "Problem",
    "Record",
    "RecordFile",
    "Source",
    "Split",
    "StageResult",
    "Synthetic",
    "Table",
    "Upload",
    "download",
    "load",
    "stage",
    "upload",
    "write_recordio",
]

_ON_USE = (
    "sources",
    "checks",
    "grouping",
    "folders",
    "lists",
    "manifests",
    "recordio",
    "record_files",
    "archives",
    "annotated",
    "transfer",
    "staging",
)
"""Modules imported on first use of one of their names, so that loading a data set stays fast."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{part}" for part in _ON_USE)):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
