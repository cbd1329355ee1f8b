"""Training and tuning jobs: every request is what SageMaker's own service model asks for."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from typing import Any

import botocore.session
import pytest

from scones_ml.aws.requests import check_request
from scones_ml.errors import ConfigurationError
from scones_ml.sagemaker.channels import (
    Channel,
    augmented_manifest_channels,
    image_channels,
    model_channel,
    recordio_channels,
    training_channel,
)
from scones_ml.sagemaker.hyperparameters import ImageClassification, ScriptMode
from scones_ml.sagemaker.image_uris import (
    IMAGE_CLASSIFICATION_ACCOUNTS,
    PYTORCH_ACCOUNTS,
    image_classification_image,
    pytorch_training_image,
)
from scones_ml.sagemaker.training_job import (
    METRICS,
    Compute,
    Spot,
    TrainingJob,
    training_request,
)
from scones_ml.sagemaker.tuning import (
    IMAGE_CLASSIFICATION_RANGES,
    Categorical,
    Continuous,
    Integer,
    Range,
    Tuning,
    tuning_request,
)

ROLE = "arn:aws:iam::123456789012:role/scones-training"
COMMON: dict[str, Any] = {"name": "scones-1", "role_arn": ROLE, "region": "us-east-1", "output": "s3://bucket/models"}
COURSE = ImageClassification(num_classes=2, num_training_samples=1000, image_shape=(3, 32, 32))
SCRIPT = ScriptMode(source="s3://bucket/source/abc.tar.gz", epochs=3)
SPOT = Compute(spot=Spot("s3://bucket/checkpoints/scones-1", 7_200))


def built_in(**changes: Any) -> TrainingJob:
    given = COMMON | {"hyperparameters": COURSE, "channels": image_channels("s3://bucket/data/")} | changes
    return TrainingJob(**given)


def script(**changes: Any) -> TrainingJob:
    given = COMMON | {"hyperparameters": SCRIPT, "channels": (training_channel("s3://bucket/data"),)} | changes
    return TrainingJob(**given)


JOBS = {
    "pictures": built_in(),
    "recordio": built_in(channels=recordio_channels("s3://b/train.rec", "s3://b/validation.rec")),
    "manifest": built_in(channels=augmented_manifest_channels("s3://b/train.jsonl", "s3://b/validation.jsonl")),
    "incremental": built_in(channels=(*image_channels("s3://b/d"), model_channel("s3://b/m/model.tar.gz"))),
    "spot": built_in(compute=SPOT, tags={"project": "scones"}),
    "script": script(),
    "script spot": script(
        compute=SPOT, channels=(training_channel("s3://b/d"), model_channel("s3://b/m/model.tar.gz"))
    ),
    "script cpu": script(compute=Compute("ml.m5.xlarge")),
}


@pytest.mark.parametrize("name", JOBS)
def test_requests_fit_the_service_model(name: str) -> None:
    """Every kind of job makes a CreateTrainingJob request with the right names, types, lengths and patterns."""
    check_request("sagemaker", "CreateTrainingJob", training_request(JOBS[name]))


def test_the_course_s_job() -> None:
    """The built-in algorithm's request, whole."""
    assert training_request(built_in()) == {
        "TrainingJobName": "scones-1",
        "HyperParameters": {"num_classes": "2", "num_training_samples": "1000", "image_shape": "3,32,32"},
        "AlgorithmSpecification": {
            "TrainingImage": "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1",
            "TrainingInputMode": "File",
        },
        "RoleArn": ROLE,
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://bucket/data/{uri}",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
                "ContentType": "application/x-image",
            }
            for name, uri in {
                "train": "train/",
                "validation": "validation/",
                "train_lst": "train.lst",
                "validation_lst": "validation.lst",
            }.items()
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models", "CompressionType": "GZIP"},
        "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3_600},
        "EnableManagedSpotTraining": False,
    }


def test_an_augmented_manifest_is_streamed() -> None:
    """Manifest, wrapper, mode and attributes go together, the image's attribute first."""
    (channel, _) = training_request(JOBS["manifest"])["InputDataConfig"]  # type: ignore[misc]
    source = channel["DataSource"]["S3DataSource"]  # type: ignore[has-type]
    assert (source["S3DataType"], source["AttributeNames"]) == ("AugmentedManifestFile", ["source-ref", "class"])
    assert (channel["RecordWrapperType"], channel["InputMode"]) == ("RecordIO", "Pipe")  # type: ignore[has-type]


def test_spot_has_checkpoints_and_patience() -> None:
    """A spot job says how long to wait and where its checkpoints are kept."""
    request = training_request(JOBS["script spot"])
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3_600, "MaxWaitTimeInSeconds": 7_200}
    assert request["CheckpointConfig"] == {
        "S3Uri": "s3://bucket/checkpoints/scones-1",
        "LocalPath": "/opt/ml/checkpoints",
    }


def test_script_mode_takes_the_image_for_its_instance() -> None:
    """A GPU instance gets the GPU image, a CPU instance the CPU image; metrics are defined."""
    images = [
        training_request(JOBS[name])["AlgorithmSpecification"]["TrainingImage"]  # type: ignore[index]
        for name in ("script", "script cpu")
    ]
    host = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.9.0"
    assert images == [f"{host}-gpu-py312", f"{host}-cpu-py312"]
    definitions = training_request(JOBS["script"])["AlgorithmSpecification"]["MetricDefinitions"]  # type: ignore[index]
    assert {row["Name"] for row in definitions} == set(METRICS)


def test_metrics_match_the_log_lines() -> None:
    """Each metric's pattern finds the value, in its one group, in the lines that both trainings print."""
    lines = "Epoch[28] Train-accuracy=0.964718\nEpoch[28] Validation-accuracy=0.885417\nEpoch[28] Time cost=4.883"
    found = {name: re.findall(pattern, lines) for name, pattern in METRICS.items()}
    assert found == {"train:accuracy": ["0.964718"], "validation:accuracy": ["0.885417"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "scones_1"}, "job name 'scones_1'"),
        ({"name": "s" * 64}, "at most 63"),
        ({"role_arn": "scones-training"}, "is not an ARN"),
        ({"output": "bucket/models"}, "output: 'bucket/models' is not s3://"),
        ({"region": "xx-north-1"}, "no account that holds image-classification:1 is known for region 'xx-north-1'"),
        ({"compute": Compute("ml.m5.xlarge")}, "ml.m5.xlarge: Image Classification trains on ml.g4dn, ml.g5"),
        ({"channels": image_channels("s3://b")[:2]}, "needs the channels train_lst, validation_lst too"),
        ({"channels": recordio_channels("s3://b/t", "s3://b/v")[:1]}, "needs the channels validation too"),
        ({"channels": image_channels("s3://b") * 2}, "give each once"),
    ],
)
def test_what_is_refused_before_aws_does(changes: dict[str, Any], message: str) -> None:
    """A wrong name, role, region, instance or channel is one clear line."""
    with pytest.raises(ConfigurationError) as caught:
        built_in(**changes)
    assert message in str(caught.value)


def test_what_script_mode_refuses() -> None:
    """Our training runs on one machine and needs a staged data set."""
    with pytest.raises(ConfigurationError, match="instance_count=2: our training runs on one instance"):
        script(compute=Compute(instance_count=2))
    with pytest.raises(ConfigurationError, match="needs the channel training"):
        script(channels=(Channel("train", "s3://b/d"),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Compute("g4dn.xlarge"), "SageMaker types begin with ml."),
        (lambda: Compute(volume_gb=0), "volume_gb=0"),
        (lambda: Compute(spot=Spot("s3://b/c", 60)), "max_wait_seconds=60: must be at least"),
        (lambda: Spot("/tmp/checkpoints", 60), "spot checkpoints: '/tmp/checkpoints' is not s3://"),
        (lambda: Channel("train", "data"), "channel 'train': 'data' is not s3://"),
    ],
)
def test_resources_that_cannot_be(make: Any, message: str) -> None:
    """What cannot run is refused where it is said."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert message in str(caught.value)


def test_an_unknown_region_can_be_served_by_uri() -> None:
    """A region that the table does not know says which it knows, and takes an image's URI."""
    with pytest.raises(ConfigurationError, match=r"pass the image's URI, or choose one of .*us-east-1"):
        built_in(region="mars-1")
    uri = "123456789012.dkr.ecr.mars-1.amazonaws.com/image-classification:1"
    assert built_in(region="mars-1", image_uri=uri).image_uri == uri


def test_the_tables_of_accounts() -> None:
    """37 regions have the algorithm and 45 the container; each account has twelve digits."""
    assert (len(IMAGE_CLASSIFICATION_ACCOUNTS), len(PYTORCH_ACCOUNTS)) == (37, 45)
    accounts = {*IMAGE_CLASSIFICATION_ACCOUNTS.values(), *PYTORCH_ACCOUNTS.values()}
    assert all(re.fullmatch(r"\d{12}", account) for account in accounts)


def test_hosts_end_as_their_partition_does() -> None:
    """Every region's host has the domain that botocore knows for its partition."""
    session = botocore.session.get_session()
    suffixes = {part["partition"]: part["dnsSuffix"] for part in session.get_data("endpoints")["partitions"]}
    for region in IMAGE_CLASSIFICATION_ACCOUNTS.keys() | PYTORCH_ACCOUNTS.keys():
        suffix = suffixes[session.get_partition_for_region(region)]
        if region in IMAGE_CLASSIFICATION_ACCOUNTS:
            assert image_classification_image(region).split("/")[0].endswith(f".dkr.ecr.{region}.{suffix}")
        if region in PYTORCH_ACCOUNTS:
            assert pytorch_training_image(region, gpu=True).split("/")[0].endswith(f".dkr.ecr.{region}.{suffix}")


TUNINGS = {
    "built-in": Tuning(built_in(), IMAGE_CLASSIFICATION_RANGES, max_jobs=20, parallel_jobs=2, stop_early=True, seed=1),
    "script": Tuning(script(), (Integer("epochs", 10, 60), Categorical("preset", ("fast", "best")))),
    "grid": Tuning(script(), (Categorical("preset", ("fast", "best")),), max_jobs=2, strategy="Grid", tags={"a": "b"}),
}


@pytest.mark.parametrize("name", TUNINGS)
def test_tuning_requests_fit_the_service_model(name: str) -> None:
    """Every tuning job makes a CreateHyperParameterTuningJob request that the service model takes."""
    check_request("sagemaker", "CreateHyperParameterTuningJob", tuning_request(TUNINGS[name]))


@pytest.mark.parametrize("name", TUNINGS)
def test_what_is_searched_is_not_fixed(name: str) -> None:
    """A hyperparameter is either searched or fixed, and none is lost."""
    request: Any = tuning_request(TUNINGS[name])
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    searched = {row["Name"] for rows in ranges.values() for row in rows}
    fixed = set(request["TrainingJobDefinition"]["StaticHyperParameters"])
    assert len(searched) == len(TUNINGS[name].ranges)
    assert not searched & fixed
    assert set(TUNINGS[name].job.hyperparameters.to_request()) <= searched | fixed


def test_a_tuning_job_trains_what_the_job_would() -> None:
    """Image, channels, resources and role of the training jobs are the job's own."""
    single, tuned = training_request(built_in()), tuning_request(TUNINGS["built-in"])["TrainingJobDefinition"]
    shared = {key: value for key, value in single.items() if key not in ("TrainingJobName", "HyperParameters")}
    assert isinstance(tuned, dict)
    assert {key: value for key, value in tuned.items() if key != "StaticHyperParameters"} == shared


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ((), "at least one range"),
        ((Continuous("learning_rat", 0.1, 0.2),), "range learning_rat: no such"),
        ((Integer("num_classes", 2, 3),), "range num_classes: no such"),
        ((Continuous("learning_rate", 0.1, 1.5),), "hyperparameter learning_rate=1.5"),
        ((Continuous("learning_rate", 0.2, 0.1),), "0.2 is not below 0.1"),
        ((Continuous("momentum", 0.0, 0.9, "Logarithmic"),), "Logarithmic needs bounds above 0"),
        ((Continuous("epochs", 1.5, 3),), "hyperparameter epochs=1.5"),
        ((Categorical("optimizer", ("sgd", "lion")),), "hyperparameter optimizer='lion'"),
        ((Categorical("optimizer", ()),), "holds no values"),
        ((Integer("epochs", 1, 9), Integer("epochs", 1, 8)), "give each once"),
    ],
)
def test_ranges_that_cannot_be(ranges: tuple[Range, ...], message: str) -> None:
    """A range of what does not exist, or beyond what the hyperparameter may be, is one clear line."""
    with pytest.raises(ConfigurationError) as caught:
        Tuning(built_in(), ranges)
    assert message in str(caught.value)


def test_tuning_jobs_that_cannot_be() -> None:
    """Names beyond 32 characters, more parallel jobs than jobs, unknown objectives and grids of numbers are refused."""
    ranges = (Integer("epochs", 1, 9),)
    with pytest.raises(ConfigurationError, match="at most 32 characters"):
        Tuning(built_in(name="s" * 33), ranges)
    with pytest.raises(ConfigurationError, match="parallel_jobs=11"):
        Tuning(built_in(), ranges, parallel_jobs=11)
    with pytest.raises(ConfigurationError, match="objective 'loss': the job reports train:accuracy"):
        Tuning(script(), ranges, objective="loss")
    with pytest.raises(ConfigurationError, match="Grid searches categorical"):
        Tuning(script(), ranges, strategy="Grid")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RoleArn": "arn:aws:iam::1:role/x"}, "RoleArn: length 21|RoleArn is .* does not match"),
        ({"TrainingJobName": "a_b"}, r"TrainingJobName is 'a_b', which does not match"),
        ({"TrainingJobName": 3}, "TrainingJobName"),
        ({"Nonsense": 1}, "Nonsense"),
        ({"InputDataConfig": []}, r"InputDataConfig"),
        ({"HyperParameters": {"x": "y" * 2501}}, "HyperParameters.x: length 2501"),
        ({"ResourceConfig": {"InstanceType": "ml.x9.huge"}}, "InstanceType is 'ml.x9.huge', not one of"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "MaxRuntimeInSeconds"),
    ],
)
def test_the_check_finds_what_botocore_passes_on(change: dict[str, Any], message: str) -> None:
    """Types, lengths, ranges, patterns and enumerations of the service model are checked before anything is sent."""
    with pytest.raises(ConfigurationError, match=f"^CreateTrainingJob: .*({message})"):
        check_request("sagemaker", "CreateTrainingJob", training_request(built_in()) | change)


def test_jobs_are_frozen() -> None:
    """A job is data: nothing changes it once it is made."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        built_in().name = "other"  # type: ignore[misc]


def test_jobs_need_neither_torch_nor_boto3() -> None:
    """Making requests imports neither torch, boto3 nor numpy."""
    code = (
        "import sys, scones_ml.sagemaker.tuning, scones_ml.sagemaker.training_source; "
        "print([name for name in ('torch', 'boto3', 'botocore', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
