"""The conformance suite: scripted publishers, the real server and recorder, and a judgement of the decoded file."""
