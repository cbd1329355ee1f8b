"""The life cycle in Python: draw images, train, evaluate, and run the workflow on the test images.

``scones cleanup`` removes the files in ``.scones``.
"""

import scones_ml

data = scones_ml.stage("synthetic", "data", per_class=100)
model = scones_ml.train(data, "model")
print(scones_ml.evaluate(model, data))
print(scones_ml.run("data/test", model))
