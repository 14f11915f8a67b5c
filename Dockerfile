# lstm-audit without a framework: `docker run --rm -v "$PWD:/models:ro" lstm-audit check /models`
FROM python:3.13-slim AS build
COPY . /source
RUN python -I -m venv /opt/lstm-audit \
 && /opt/lstm-audit/bin/python -I -m pip install --no-cache-dir /source

FROM python:3.13-slim
COPY --from=build /opt/lstm-audit /opt/lstm-audit
USER 65534:65534
WORKDIR /models
ENTRYPOINT ["/opt/lstm-audit/bin/python", "-I", "-m", "lstm_audit"]
CMD ["--help"]
