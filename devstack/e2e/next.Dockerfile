# An image of the next contract version, for the tests of version skew: the built one with another number in contract.py.
ARG IMAGE
FROM ${IMAGE}
ARG FROM_VERSION
ARG TO_VERSION
USER 0
RUN set -eu; \
    file=$(python3 -c 'import egress_recorder; print(egress_recorder.__path__[0])')/contract.py; \
    sed -i "s/^CONTRACT_VERSION = ${FROM_VERSION}\$/CONTRACT_VERSION = ${TO_VERSION}/" "$file"; \
    grep -qx "CONTRACT_VERSION = ${TO_VERSION}" "$file"; \
    python3 -m compileall -q -f "$file"
USER 65532:65532
