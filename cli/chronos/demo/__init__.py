"""`chronos demo`: a mesh, a receiver and a handful of jobs, watched for half a minute.

Promises: what it reports was measured at the receiver, and what should have run is computed here, not asked of the
scheduler that is being shown. Exit status 0 means that nothing was missed and nothing failed.
"""
