"""Input channels of a training job, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scones_ml.events import parse_uri

__all__ = [
    "IMAGE",
    "Channel",
    "InputMode",
    "augmented_manifest_channels",
    "channel_request",
    "image_channels",
    "model_channel",
    "recordio_channels",
    "training_channel",
]

InputMode = Literal["File", "FastFile", "Pipe"]

IMAGE, _RECORDIO, _MODEL = "application/x-image", "application/x-recordio", "application/x-sagemaker-model"


@dataclass(frozen=True, slots=True)
class Channel:
    """One input of a job.

    Attributes:
        name: name of its folder below ``/opt/ml/input/data``.
        uri: an object or a prefix, ``s3://bucket/train/``.
        content_type: MIME type; None for none.
        input_mode: how the data reaches the container; None for the job's mode.
        attributes: for an augmented manifest at ``uri``: attributes of a line to send, in this order.
    """

    name: str
    uri: str
    content_type: str | None = None
    input_mode: InputMode | None = None
    attributes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_uri(self.uri, f"channel {self.name!r}")


def image_channels(root: str) -> tuple[Channel, ...]:
    """Channels of images and ``.lst`` files below ``root``, as written by ``scones_ml.dataset``."""
    root = root.rstrip("/")
    return (
        Channel("train", f"{root}/train/", IMAGE),
        Channel("validation", f"{root}/validation/", IMAGE),
        Channel("train_lst", f"{root}/train.lst", IMAGE),
        Channel("validation_lst", f"{root}/validation.lst", IMAGE),
    )


def recordio_channels(train: str, validation: str) -> tuple[Channel, ...]:
    """Channels of RecordIO files, as written by ``scones_ml.dataset.recordio``."""
    return (Channel("train", train, _RECORDIO), Channel("validation", validation, _RECORDIO))


def augmented_manifest_channels(
    train: str, validation: str, attributes: tuple[str, str] = ("source-ref", "class")
) -> tuple[Channel, ...]:
    """Channels of augmented manifests, read as a stream; attributes: the image's, then the label's."""
    return (
        Channel("train", train, _RECORDIO, "Pipe", attributes),
        Channel("validation", validation, _RECORDIO, "Pipe", attributes),
    )


def training_channel(root: str) -> Channel:
    """Channel of a staged data set, for our own training."""
    return Channel("training", root.rstrip("/") + "/")


def model_channel(model: str) -> Channel:
    """Channel of an earlier job's ``model.tar.gz``, to start from."""
    return Channel("model", model, _MODEL)


def channel_request(channel: Channel) -> dict[str, object]:
    """The channel's entry in InputDataConfig."""
    source: dict[str, object] = {
        "S3DataType": "AugmentedManifestFile" if channel.attributes else "S3Prefix",
        "S3Uri": channel.uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    found: dict[str, object] = {"ChannelName": channel.name, "DataSource": {"S3DataSource": source}}
    if channel.attributes:
        source["AttributeNames"] = list(channel.attributes)
        found["RecordWrapperType"] = "RecordIO"
    if channel.content_type:
        found["ContentType"] = channel.content_type
    if channel.input_mode:
        found["InputMode"] = channel.input_mode
    return found
