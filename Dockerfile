# A server in a container: slim, without root, its root file system read-only. docs/PRODUCTION.md says how to run it.
#
#   docker build -t streamkit .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --ulimit nofile=65536:65536 \
#     -v streamkit:/var/lib/streamkit -v /etc/streamkit:/etc/streamkit:ro -p 8080:8080 \
#     streamkit serve --config /etc/streamkit/streamkit.toml

FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package streamkit-server

FROM debian:bookworm-slim
RUN groupadd --system --gid 10001 streamkit \
    && useradd --system --uid 10001 --gid streamkit --no-create-home --shell /usr/sbin/nologin streamkit \
    && install --directory --owner streamkit --group streamkit --mode 0700 /var/lib/streamkit
COPY --from=build /src/target/release/streamkit /usr/local/bin/streamkit
# Whom to trust, which the slim image does not say: for --jwks-url and for a collector at an https address.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 10001:10001
# Every option has a variable. Others than this container must reach it; the data belong on a volume.
ENV STREAMKIT_LISTEN=0.0.0.0:8080 STREAMKIT_DATA=/var/lib/streamkit
VOLUME /var/lib/streamkit
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whether it lives. Whether it takes writes is for load balancers to ask: /readyz. With TLS, name the address and the authority:
# STREAMKIT_URL, STREAMKIT_CA_CERT.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5m CMD ["streamkit", "health"]
ENTRYPOINT ["streamkit"]
CMD ["serve"]
