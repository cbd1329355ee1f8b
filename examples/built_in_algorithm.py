"""SageMaker's built-in Image Classification algorithm on a staged data set, with hyperparameter tuning.

Without ``--send`` the requests are printed; with it the data set is uploaded to S3 and both jobs are started::

    scones stage photos data --format recordio   # without --format, the algorithm reads images and .lst files
    python examples/built_in_algorithm.py data s3://BUCKET/data --role arn:aws:iam::123456789012:role/ROLE
"""

import argparse
import json
from pathlib import Path

from scones_ml import backends, dataset
from scones_ml.aws.training_jobs import TrainingJobs
from scones_ml.sagemaker.channels import image_channels, recordio_channels
from scones_ml.sagemaker.hyperparameters import ImageClassification
from scones_ml.sagemaker.training_job import Compute, Spot, TrainingJob, training_request
from scones_ml.sagemaker.tuning import IMAGE_CLASSIFICATION_RANGES, Tuning, tuning_request

parser = argparse.ArgumentParser()
parser.add_argument("data", type=Path, help="a staged data set")
parser.add_argument("uri", help="destination: s3://bucket/prefix")
parser.add_argument("--role", required=True, help="ARN of the role that SageMaker assumes")
parser.add_argument("--region", default="us-east-1")
parser.add_argument("--name", default="scones-built-in", help="name of the job; the tuning job is NAME-tuning")
parser.add_argument("--send", action="store_true", help="start both jobs (costs money)")
options = parser.parse_args()

data = dataset.load(options.data)
packed = (options.data / "train.rec").is_file()
job = TrainingJob(
    name=options.name,
    role_arn=options.role,
    region=options.region,
    output=f"{options.uri}-models",
    hyperparameters=ImageClassification(
        num_classes=len(data.classes),
        num_training_samples=len(data.split("train")),
        num_layers=20,  # of the networks for small images
        image_shape=(3, data.image_size, data.image_size),
    ),
    channels=(
        recordio_channels(f"{options.uri}/train.rec", f"{options.uri}/validation.rec")
        if packed
        else image_channels(options.uri)
    ),
    compute=Compute(spot=Spot(f"{options.uri}-checkpoints", max_wait_seconds=7_200)),
)
tuning = Tuning(
    job=TrainingJob(
        name=f"{job.name}-tuning",
        role_arn=job.role_arn,
        region=job.region,
        output=job.output,
        hyperparameters=job.hyperparameters,
        channels=job.channels,
    ),
    ranges=IMAGE_CLASSIFICATION_RANGES,
    max_jobs=12,
    parallel_jobs=2,
)
for warning in job.hyperparameters.warnings():
    print("note:", warning)
if options.send:
    dataset.upload(data, options.uri, backends.s3_store())
    jobs = TrainingJobs()
    print(jobs.start(job))
    print(jobs.start_tuning(tuning))
    print(f"the model will be {job.model_uri}: deploy it with scones deploy")
else:
    print(json.dumps({"job": training_request(job), "tuning": tuning_request(tuning)}, indent=2))
