"""The course's notebook in this library: twelve cells, from an archive of images to an empty account.

Locally, offline, with drawn images::

    python examples/course.py

With the course's own archive (the course's URL, or a file that you have), or on AWS, after the five commands of
docs/deploy.md, the stack deployed with ``EndpointName=scones-course Labels=bicycle,motorcycle ImageSize=32
ImageFit=crop``::

    python examples/course.py --data cifar-100-python.tar.gz
    python examples/course.py --data cifar-100-python.tar.gz --on aws

docs/course.md tells cell by cell what changed, and why.
"""

# %% 1. What to work on, and where
import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from scones_ml import asl, backends, dataset, events, lifecycle, monitoring, steps, workflows
from scones_ml.aws.classifier import SageMakerClassifier
from scones_ml.monitoring.page import render_page
from scones_ml.ports import DeploymentRequest, TrainingRequest
from scones_ml.settings import ImagePolicy

parser = argparse.ArgumentParser()
parser.add_argument("--data", help="CIFAR-100 as an archive or its URL; drawn images when not given")
parser.add_argument("--on", choices=["local", "aws"], default="local")
parser.add_argument("--per-class", type=int, default=300, help="how many images are drawn")
parser.add_argument("--epochs", type=int, help="passes over them")
options = parser.parse_args()
folder, threshold = Path(".scones/course"), 0.93
backend = backends.backend(options.on, folder)

# %% 2. Extract and transform: checksum, no pickle but numpy's, duplicates apart, no test image in training
source = options.data or dataset.Synthetic(per_class=options.per_class, size=32)
staged = dataset.stage(source, folder / "data", classes=("bicycle", "motorcycle"))
print("images", staged.dataset.counts())

# %% 3. What was left out, and why
for problem in staged.problems:
    print("left out", problem.name, problem.reason)

# %% 4. Load and train: on AWS the data goes to S3 and a training job runs; here a process of this machine does it
job = TrainingRequest(data=staged.dataset.root, model=folder / "model", epochs=options.epochs)
card = lifecycle.train(backend, job)
print("trained", f"{card.epochs} epochs")

# %% 5. How right it is, on images that no choice was made on
evaluation = lifecycle.evaluate(lifecycle.predict(job.model, staged.dataset.root))
right = evaluation.accuracy
print("right", f"{right.value:.1%}, 95 % interval {right.low:.1%} to {right.high:.1%}")

# %% 6. Deploy, with data capture
endpoint = lifecycle.deploy(backend, DeploymentRequest("scones-course", job.model))
print("endpoint", endpoint.name)

# %% 7. Ask the endpoint
photo = staged.dataset.root / staged.dataset.split("test")[0].path
classifier = SageMakerClassifier(endpoint.name, endpoint.labels, endpoint.url)
answer = classifier.predict(photo.read_bytes(), image_id="cell-7")
print("answer", dict(zip(classifier.labels, answer, strict=True)))

# %% 8. The three Lambdas: pure functions on events, and the course's own event shapes are still read
policy = ImagePolicy().of_model(endpoint.image_size, endpoint.fit)
(image,) = lifecycle.upload(backend, [(photo.name, photo.read_bytes())])
serialized = steps.serialize_image_data(backend.store.read(image), policy)
data = steps.image_bytes(serialized, backend.store.read, policy)
filtered = steps.filter_low_confidence(steps.classify_image_data(serialized, data, classifier), threshold)
print("filtered", filtered.label, round(filtered.confidence, 3), "accepted" if filtered.accepted else "to review")
old = {"statusCode": 200, "body": json.dumps({"s3_bucket": "b", "s3_key": "test/a.png", "inferences": "[0.95, 0.05]"})}
print("an old event", steps.filter_low_confidence(events.classified_image(old), threshold).accepted)

# %% 9. The state machine: Amazon States Language from typed states, checked before AWS sees it
machine = workflows.image_classification()
print("state machine", len(machine.states), "states,", len(asl.validate(machine.to_text())), "findings")

# %% 10. Test it: one execution for each image; none of them fails because it is doubtful
photos = [staged.dataset.root / record.path for record in staged.dataset.split("test")[:12]]
images = lifecycle.upload(backend, [(path.name, path.read_bytes()) for path in photos])
here = options.on == "local"  # on AWS the stack's functions hold endpoint and threshold
results = list(lifecycle.run(backend, images, endpoint, threshold) if here else lifecycle.run(backend, images))
for result in results[:3]:
    print("executed", result.image.s3_key, result.label, result.outcome)
print("outcomes", dict(Counter(result.outcome for result in results)))

# %% 11. Monitor: every captured request, as a page
found = monitoring.monitor(
    backends.capture_records(endpoint.captures), monitoring.MonitorRequest(endpoint.labels, threshold)
)
(folder / "captures.html").write_text(render_page(found, datetime.now(UTC)), encoding="utf-8")
print("captured", found.records, "requests, shown in", folder / "captures.html")

# %% 12. Leave nothing behind
print(len(lifecycle.cleanup(backend)), "resources left")
