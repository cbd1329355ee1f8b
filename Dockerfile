# Our own server as a container for SageMaker, in place of AWS's; docs/deploy.md says how to use it.
#   docker build --tag scones .
#   docker run --rm --publish 8080:8080 --volume "$PWD/model:/opt/ml/model:ro" scones
FROM public.ecr.aws/docker/library/python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir --constraint /src/constraints.txt '/src[serve]' && useradd --uid 1000 scones
# SageMaker runs the image with the one argument `serve`.
RUN printf '#!/bin/sh\nexec python -m scones_ml.inference /opt/ml/model --host 0.0.0.0 --port 8080\n' \
      > /usr/local/bin/serve && chmod 755 /usr/local/bin/serve
USER scones
EXPOSE 8080
CMD ["serve"]
