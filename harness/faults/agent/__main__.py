"""`python3 -m agent PORT [proxy]`: the pod that measures, or the one in the path."""

import sys

from .serve import serve

serve(int(sys.argv[1]), with_proxy="proxy" in sys.argv[2:])
