from tests.etcd_server import shared_etcd

__all__ = ["shared_etcd"]
