"""What was observed in a trial: records on disk, an index over them, the load in columns.

`history` is what judgement asks; `arrivals`, `outcomes` and `requests` are the load. Nothing here
judges.
"""
