"""The embedded default: a real control plane and a real livekit-server on loopback, for tests, benchmarks and `make demo`."""
