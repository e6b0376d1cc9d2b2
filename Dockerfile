FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The two caches outlive the build; the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin upline \
    && install -D target/release/upline /out/upline

FROM debian:bookworm-slim
# Certificates for servers that are reached over TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin upline
COPY --from=build /out/upline /usr/local/bin/upline

USER 10001:10001
WORKDIR /
# A container is reached from outside of itself.
ENV UPLINE_HTTP_ADDR=0.0.0.0:8080 \
    UPLINE_ADMIN_ADDR=0.0.0.0:9090 \
    UPLINE_PIPELINES=/etc/upline/pipelines
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# The image has no HTTP client; bash can open a connection by itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${UPLINE_ADMIN_ADDR##*:}\" && printf 'GET /readyz HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["upline"]
CMD ["serve"]
