# segctl with all its sources and state backends, without the emulator and without git.
#
#   docker build -t segctl .
#   docker run --rm -v "$PWD:/workspace" segctl plan
#
# It contains no credentials: pass them as environment variables when you run it. A trusted copy of
# segctl.yaml is named by a path, since revisions need git: docs/ci.md.

FROM python:3.13-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY segctl segctl
# Nothing of pip's cache, no tests of libraries, no type stubs, no debug symbols. The libraries in
# *.libs folders do not survive strip.
RUN python -m venv --without-pip /opt/segctl \
    && python -m pip --python /opt/segctl/bin/python install --no-cache-dir --no-compile \
        --constraint constraints.txt '.[encryption,postgres,remote]' \
    && find /opt/segctl -type d '(' -name tests -o -name __pycache__ ')' -prune -exec rm -rf {} + \
    && find /opt/segctl -name '*.pyi' -delete \
    && rm -rf /opt/segctl/lib/python3.*/site-packages/numpy/_core/include \
    && find /opt/segctl -name '*.so' -not -path '*.libs/*' -exec strip --strip-debug {} +

FROM python:3.13-slim-bookworm
RUN useradd --uid 10001 --create-home segctl
COPY --from=build /opt/segctl /opt/segctl
ENV PATH=/opt/segctl/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER segctl
WORKDIR /workspace
ENTRYPOINT ["segctl"]
CMD ["--help"]
