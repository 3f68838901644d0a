# The S3 server of the end-to-end cluster (versitygw over a directory): one static binary, built by devstack.build.
FROM scratch
COPY versitygw /versitygw
USER 65532:65532
ENTRYPOINT ["/versitygw"]
