# The test publisher of the end-to-end cluster: the recorder's libraries and a few modules of devstack.
ARG RECORDER_IMAGE
FROM ${RECORDER_IMAGE}
COPY devstack /opt/devstack/devstack
ENV PYTHONPATH=/opt/devstack
ENTRYPOINT ["python3", "-m", "devstack.publisher"]
