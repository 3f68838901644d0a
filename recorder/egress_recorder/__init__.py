"""The recorder: a command-line program that records LiveKit media and knows nothing of Kubernetes."""
