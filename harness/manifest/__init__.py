"""What can be known from manifests alone: pure functions over plain objects, no I/O and no cluster.

Objects are the dictionaries that a YAML document or the Kubernetes API gives. No function here
changes its input; whatever returns objects returns copies.
"""
