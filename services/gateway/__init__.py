"""What the edge needs beside Envoy, and the view of the cluster as a whole.

Owns nothing that is stored. Promises: a JSON body that names a field which does not exist, or gives one a value of the
wrong type, never reaches a service. Calls etcd, and every replica's metrics endpoint. Watched by nobody.
"""
