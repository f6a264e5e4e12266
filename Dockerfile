# One image for every step of the pipeline and for the predictor.
#
#   docker build -f Dockerfile -t kubeflow/multi-worker-strategy:v0.1 .
#   docker build -f Dockerfile --build-arg REQUIREMENTS=run-gpu.txt -t kubeflow/multi-worker-strategy:v0.1-gpu .
#
# The packages are installed in a stage of their own. An optional folder `build-settings` is copied over that stage's
# root: its files, such as a company's certificate and the password of a package index, are in no layer of the image.
FROM python:3.11-slim-bookworm AS packages

# Dependencies before source: a change of code does not rebuild this stage. The removed files are never read at run
# time: headers, the symbols that only a debugger reads (a quarter of TensorFlow's library), libclang, the asynchronous
# client for Kubernetes, TensorBoard's own server, Arrow's network protocols, LiteRT's GPU support, and the packages'
# tests. Bytecode stays: without it a worker starts ten seconds later. The pinned setuptools is installed first:
# `promise` exists only as source, and pip would otherwise build it with the newest setuptools of that day. On arm64
# `psutil` is source too and needs a compiler. Fashion-MNIST is part of the image, so that ingestion needs no internet.
ARG REQUIREMENTS=run.txt
COPY requirements/${REQUIREMENTS} build-settings* /
# apt's own user must be able to read the folders of build-settings, even those made under a strict umask.
RUN chmod --recursive a+rX /etc /usr/local \
 && apt-get update \
 && apt-get install --yes --no-install-recommends binutils dataset-fashion-mnist \
      $(test "$(dpkg --print-architecture)" = amd64 || echo gcc libc6-dev) \
 && python3 -m venv --without-pip /opt/venv \
 && install="pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps --no-build-isolation --require-hashes" \
 && awk '/^[a-z]/ {wanted = /^(setuptools|wheel)==/} wanted' /${REQUIREMENTS} | $install -r /dev/stdin \
 && $install -r /${REQUIREMENTS} \
 && cd /opt/venv/lib/python3.11/site-packages \
 && rm -rf tensorflow/include tensorflow/xla_aot_runtime_src pyarrow/include pyarrow/libarrow_flight.so* \
      pyarrow/libarrow_s3.so* clang/native kubernetes/aio tensorboard_data_server/bin \
      ai_edge_litert/libLiteRtWebGpuAccelerator.so ai_edge_litert/tools ai_edge_litert/vendors \
 && find . -type d \( -name tests -o -name testdata \) -prune -exec rm -rf {} + \
 && strip --strip-unneeded tensorflow/libtensorflow_*.so.2

FROM python:3.11-slim-bookworm

# The user is numeric because `runAsNonRoot` checks the number; shells and getpass need the name.
RUN useradd --uid 1000 --user-group --home-dir /tmp --no-create-home --shell /bin/bash --no-log-init pipeline \
 && install --directory --owner=1000 --group=1000 /trained_model

COPY --from=packages /usr/share/datasets /usr/share/datasets
COPY --from=packages /usr/share/doc/dataset-fashion-mnist /usr/share/doc/dataset-fashion-mnist
COPY --from=packages /opt/venv /opt/venv

# The scripts write only to the volume and /tmp, so the root file system can be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    TFDS_DATA_DIR=/tmp/tensorflow_datasets

COPY src /opt/pipeline/src
RUN python3 -m compileall -q /opt/pipeline/src \
 && ln -s /opt/pipeline/src/data_ingestion.py /data-ingestion.py \
 && ln -s /opt/pipeline/src/multi_worker_distributed_training.py /multi-worker-distributed-training.py \
 && ln -s /opt/pipeline/src/model_selection.py /model-selection.py \
 && ln -s /opt/pipeline/src/predict_service.py /predict-service.py \
 && ln -s /opt/pipeline/src/pipeline_admin.py /pipeline-admin.py \
 && ln -s /opt/pipeline/src/serve.py /serve.py

USER 1000:1000
WORKDIR /tmp
