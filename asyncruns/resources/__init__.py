"""The endpoints, as methods: encode a body, decode an answer, open a stream.

Each kind of object has a module of its own, which is imported when a client is first asked for it.
"""
