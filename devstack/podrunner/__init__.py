"""Plays kubelet and scheduler for the devstack: pods become host processes. `PodRunner` is the whole interface.

What is honest: scheduling (node selector, taints, requests, claims), env and its references, Secret volumes that follow
their Secret, scratch and claims, probes, termination messages, exit codes, grace periods, OOM kills, Events.
What is not: there are no namespaces of the kernel. Images are not looked at, users and read-only mounts are not
enforced, paths of mounts are rewritten in arguments and environment only, and a PID 1 without a handler dies of SIGTERM.
"""

from devstack.podrunner.runner import PodRunner

__all__ = ["PodRunner"]
