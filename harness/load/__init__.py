"""Puts load on the entry: plans it, starts Locust in a process of its own, says what was sent.

`generator` is what a trial uses. `runner` and what it imports run only inside the child process:
importing Locust patches the sockets of the process that does it, so nothing else may import them.
"""
