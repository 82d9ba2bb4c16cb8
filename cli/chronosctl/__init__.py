"""`chronosctl`: works with a Chronos cluster over its REST API.

Owns no state but the profile file. Talks to the edge only; a secret never reaches its output.
"""
