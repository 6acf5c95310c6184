# The serving image: the service, and the models exported below model/.
#   docker build -t treeline .                            ONNX models: no pandas, no scikit-learn
#   docker build -t treeline --build-arg RUNTIME=pickle . pickled ones too (set API_ALLOW_PICKLE=1)
#   docker run --read-only --tmpfs /tmp -p 8000:8000 treeline

FROM python:3.11-slim AS build
ARG RUNTIME=serve
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/${RUNTIME}.txt requirements.txt
# The libraries' own tests are a tenth of what they weigh.
RUN python -m pip --python /opt/venv install --require-hashes --only-binary :all: \
        --requirement requirements.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} +
COPY requirements/build.txt build.txt
RUN python -m pip install --require-hashes --only-binary :all: --requirement build.txt
COPY pyproject.toml ./
COPY src src
COPY api api
# Without isolation the build uses the pinned backend installed above, and fetches nothing.
RUN python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && python -m pip --python /opt/venv install --no-deps --no-index dist/*.whl

FROM python:3.11-slim
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Treeline" \
      org.opencontainers.image.description="Tabular models shipped from git, behind their contract" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Modules were compiled when they were installed; nothing is written at run time.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin treeline
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY initializer.sh ./
COPY model model
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --start-interval=1s \
    CMD ["python", "-m", "api.healthcheck"]
CMD ["./initializer.sh"]
