"""The endpoints, as methods: encode a body, decode an answer, open a stream.

Each kind of object has a module of its own. Those of runs and their steps come with the client,
each of the others when a client is first asked for it.
"""
