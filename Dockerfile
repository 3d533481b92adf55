# docker build --target cpu -t striate:cpu .    OpenVINO
# docker build --target gpu -t striate:gpu .    TensorFlow with CUDA; run it with --gpus all
#
# It listens on every interface of the container and therefore starts only with keys (STRIATE_KEYS_FILE), or
# told who finds it (STRIATE_PUBLISHED_HOST=127.0.0.1), or that everybody may ask (STRIATE_AUTH=off).

ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS builder
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# Without pip of its own: nothing in the final image needs it.
RUN python -m venv --without-pip /opt/venv

FROM builder AS wheel
COPY requirements-build.txt ./
RUN pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY service/ service/
COPY training/ training/
RUN pip --python /opt/venv/bin/python wheel --no-deps --no-build-isolation --wheel-dir wheels .

FROM builder AS gpu-builder
COPY requirements-gpu.txt ./
RUN pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r requirements-gpu.txt
COPY --from=wheel /build/wheels/ wheels/
RUN pip --python /opt/venv/bin/python install --no-deps --no-index wheels/*.whl

FROM builder AS cpu-builder
COPY requirements-cpu.txt ./
RUN pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r requirements-cpu.txt
COPY --from=wheel /build/wheels/ wheels/
RUN pip --python /opt/venv/bin/python install --no-deps --no-index wheels/*.whl

FROM ${BASE_IMAGE} AS runtime
ARG BASE_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="striate" \
      org.opencontainers.image.description="Posted images in, answers that a person can read out." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
# The root file system may be read-only, so bytecode is compiled in the builders and never here.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STRIATE_HOST=0.0.0.0 \
    STRIATE_PORT=8000 \
    STRIATE_MODELS_DIR=/srv/models
WORKDIR /srv
COPY models/ models/
EXPOSE 8000
STOPSIGNAL SIGTERM
# No proxy: one that the container is given for outgoing requests must not get this one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as u; u.build_opener(u.ProxyHandler({}), u.HTTPSHandler(context=ssl._create_unverified_context())).open('http' + 's' * bool(os.environ.get('STRIATE_TLS_CERT_FILE')) + '://127.0.0.1:' + os.environ['STRIATE_PORT'] + '/readyz', timeout=4)"]
# Isolated: no PYTHONPATH of the surroundings and no file of the working folder can bring code in.
ENTRYPOINT ["python", "-I", "-B", "-u", "-m", "service"]

FROM runtime AS gpu
# The driver's compiled kernels go where a read-only container can write.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CUDA_CACHE_PATH=/tmp/cuda \
    TF_FORCE_GPU_ALLOW_GROWTH=true
COPY --from=gpu-builder /opt/venv/ /opt/venv/
# A number, so that an orchestrator can tell that it is not root; nothing needs a name or a home.
USER 10001:10001

# Last, so that a build without --target makes it.
FROM runtime AS cpu
COPY --from=cpu-builder /opt/venv/ /opt/venv/
USER 10001:10001
