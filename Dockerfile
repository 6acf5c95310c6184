# The serving image: the service, and the models exported below model/.
#   docker build -t treeline .                            ONNX models: no pandas, no scikit-learn
#   docker build -t treeline --build-arg RUNTIME=pickle . pickled ones too (set API_ALLOW_PICKLE=1)
#   docker build -t treeline --build-arg RUNTIME=h2o .    those of H2O too, with Java (set API_ALLOW_H2O=1)
#   docker build -t treeline --build-arg RUNTIME=full .   Arrow, pictures, PostgreSQL, tracing, signing, S3
#   docker build -t treeline-train --build-arg RUNTIME=train .    what trains, and the service (docs/training-image.md)
#   docker build -t treeline --build-arg SIGNING=yes .    besides, what verifies signed releases
#   docker run --read-only --tmpfs /tmp -v treeline:/var/lib/treeline -p 8000:8000 treeline

ARG RUNTIME=serve

FROM python:3.11-slim AS build
ARG RUNTIME
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/build.txt build.txt
RUN python -m pip install --require-hashes --only-binary :all: --requirement build.txt
COPY requirements/${RUNTIME}.txt requirements.txt
ARG SIGNING=
COPY requirements/signing.txt signing.txt
# H2O comes as source only, and what is in it is a jar; so does one library of DVC's. A tenth of what
# the libraries weigh is their own tests, tools of their makers and what compiles: no code of ours runs
# it, and the images without it are tested. What a pickle or somebody's training runs is anybody's, and
# reaches further (`from numpy import *` imports numpy.f2py): from their images nothing is taken away.
RUN if [ -n "$SIGNING" ]; then cat signing.txt >> requirements.txt; fi \
    && python -m pip wheel --no-deps --no-build-isolation --require-hashes \
        --only-binary :all: --no-binary h2o,antlr4-python3-runtime --wheel-dir wheels --requirement requirements.txt \
    && python -m pip --python /opt/venv install --no-deps --no-index wheels/*.whl \
    && rm -rf wheels \
    && if [ "$RUNTIME" != pickle ] && [ "$RUNTIME" != train ]; then \
        find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
        && for tools in numpy/f2py numpy/distutils sqlalchemy/testing \
            onnxruntime/transformers onnxruntime/tools onnxruntime/quantization; \
            do rm -rf /opt/venv/lib/python3.*/site-packages/"$tools"; done \
        && find /opt/venv -type f \( -name "*.pyi" -o -name "*.pyx" -o -name "*.c" \) -delete; \
    fi
COPY pyproject.toml ./
COPY src src
COPY api api
# Without isolation the build uses the pinned backend installed above, and fetches nothing. The runtime
# for programs in C is no code of ours either: the one for Python has all of it once more.
RUN python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && python -m pip --python /opt/venv install --no-deps --no-index dist/*.whl \
    && if [ "$RUNTIME" != pickle ] && [ "$RUNTIME" != train ]; then \
        rm -f /opt/venv/lib/python3.*/site-packages/onnxruntime/capi/libonnxruntime.so.*; \
    fi

FROM python:3.11-slim AS serve
FROM python:3.11-slim AS pickle
FROM python:3.11-slim AS full

# H2O runs on Java 8 to 17: this Debian has 17, later ones have only newer ones. Its package links
# manual pages into a folder that slim images lack.
FROM python:3.11-slim-bookworm AS h2o
# hadolint ignore=DL3008
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*

# The declaration and the code, as in a checkout: stages follow the code below src, so that is what
# runs, compiled; so is what installs the wheels of a job. DVC needs no git here.
FROM python:3.11-slim AS train
RUN python -m compileall -q /usr/local/lib/python3.*/site-packages/pip
ENV PYTHONPATH=/app/src \
    DVC_SITE_CACHE_DIR=/tmp/dvc \
    HOME=/tmp
WORKDIR /app
COPY src src
COPY requirements/train.txt requirements/train.txt
COPY dataset/sources dataset/sources
COPY .dvc/config .dvc/config
COPY .dvc/plots .dvc/plots
COPY params.yaml dvc.yaml dvc.loc[k] .dvcignore ./
RUN python -m compileall -q src \
    && printf '[core]\n    no_scm = true\n' > .dvc/config.local

# hadolint ignore=DL3006
FROM ${RUNTIME}
# Python's own modules come without bytecode, and nothing is compiled at run time: each process would
# compile what it imports of them.
RUN python -m compileall -q -x '/(ensurepip|idlelib|lib2to3|site-packages|turtledemo)/' /usr/local/lib/python3.*
ARG RUNTIME
# Other modules were compiled when they were installed; what is written at run time is in one folder.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    API_STATE_DIR=/var/lib/treeline \
    API_LOG_FORMAT=json \
    XDG_CACHE_HOME=/tmp/cache \
    XDG_DATA_HOME=/tmp/data \
    HOST=0.0.0.0 \
    PORT=8000
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin treeline \
    && install --directory --owner=10001 --group=10001 /var/lib/treeline
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
# What a machine without containers installs for what is in here (deploy/home): what verifies
# signatures too, where that is in here.
COPY --from=build /build/requirements.txt requirements.txt
COPY initializer.sh ./
COPY model model
# What a training writes; code and libraries stay root's.
RUN [ "$RUNTIME" != train ] || { chown 10001:10001 . && chown --recursive 10001:10001 .dvc dataset dvc.* model; }
# Last, for every commit has another revision: the layers above stay those of the image before.
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="Treeline" \
      org.opencontainers.image.description="Tabular models shipped from git, behind their contract" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 10001:10001
VOLUME /var/lib/treeline
EXPOSE 8000
# A start may take long on a busy machine: only after it do failures count.
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --start-interval=2s \
    CMD ["python", "-m", "api.healthcheck"]
CMD ["./initializer.sh"]
