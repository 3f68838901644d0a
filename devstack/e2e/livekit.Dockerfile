# livekit-server of the end-to-end cluster: one static binary, built by devstack.build.
FROM scratch
COPY livekit-server /livekit-server
USER 65532:65532
ENTRYPOINT ["/livekit-server"]
