"""The life cycle as a library: draw images, train, classify one of them, leave nothing behind."""

from pathlib import Path

from scones_ml import backends, dataset, lifecycle
from scones_ml.ports import TrainingRequest

backend = backends.backend("local", Path(".scones"))
data = dataset.stage(dataset.Synthetic(per_class=100), "data").dataset
lifecycle.train(backend, TrainingRequest(data=data.root, model=Path("model")))
photo = data.root / data.split("test")[0].path
images = lifecycle.upload(backend, [(photo.name, photo.read_bytes())])
for result in lifecycle.run(backend, images, classifier=Path("model"), threshold=0.9):
    print(result.image.s3_key, result.label, result.confidence, result.outcome)
print(len(lifecycle.cleanup(backend)), "resources left")
