from tests.etcd_server import own_etcd, shared_etcd

__all__ = ["own_etcd", "shared_etcd"]
