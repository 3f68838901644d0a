"""The supervisor: PID 1 of the recorder. Runs the capture process, keeps what it wrote, says how it ended.

`core.Supervisor` is the loop; `attempt` one capture process; `ledger` and `verdict` are pure; `run` and `record`
wire it up for a pod and for a laptop. Nothing in here imports livekit's rtc package, av or numpy.
"""
