# The gateway in a container: docker build -t scoregate . ; needs no network at run time and writes to /data and /tmp alone.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/scoregate
ENV PATH=/opt/scoregate/bin:$PATH
# The pins come first: a change to the gateway leaves this layer as it is.
COPY constraints.txt ./
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
# setuptools is one of the pins, so the wheel is built with it and not with whatever is newest.
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip install --no-cache-dir --no-deps /wheels/scoregate-*.whl \
    && pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 scoregate \
    && useradd --uid 10001 --gid scoregate --no-create-home --home-dir /data --shell /usr/sbin/nologin scoregate \
    && install -d -o scoregate -g scoregate -m 0700 /data
COPY --from=build /opt/scoregate /opt/scoregate
ENV PATH=/opt/scoregate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
USER 10001:10001
WORKDIR /data
VOLUME /data
# Scoring, admin, metrics.
EXPOSE 8443 8444 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 9464, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["scoregate"]
CMD ["serve", "--config", "/etc/scoregate/gateway.yaml"]
