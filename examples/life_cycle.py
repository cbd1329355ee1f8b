"""The life cycle as a library: draw images, train, evaluate, send the test images through the workflow.

``scones cleanup`` removes what it leaves in ``.scones``.
"""

import scones_ml

data = scones_ml.stage("synthetic", "data", per_class=100)
model = scones_ml.train(data, "model")
print(scones_ml.evaluate(model, data))
print(scones_ml.run("data/test", model))
