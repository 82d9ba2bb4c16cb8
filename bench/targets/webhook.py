"""How many recorded deliveries a second one dispatcher makes over HTTP, with a real nginx beside it.

    python -m bench.targets.webhook [--over plain|tls|mutual|plain_h2] [--http-version HTTP_2] [--redirects ANY]

As `bench.dispatcher`, with the server and its certificates made here: `mutual` asks for a client certificate.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from chronos.scheduler.v1 import job_pb2, target_pb2

from bench.dispatcher import measure
from tests.deliveries import make_job
from tests.servers.nginx import NginxServer, start_nginx

Webhook = target_pb2.WebhookTarget


def job_for(server: NginxServer, arguments: argparse.Namespace) -> job_pb2.Job:
    job = make_job(server.url(arguments.over), body='{"execution": "{{.ExecutionID}}"}')
    job.webhook.http_version = Webhook.HttpVersion.Value(arguments.http_version)
    job.webhook.redirects = Webhook.Redirects.Value(arguments.redirects)
    if not arguments.over.startswith("plain"):
        client = server.authority.issue_cert("bench@example.com")
        job.webhook.tls.ca_cert = server.authority.cert_pem.bytes().decode()
        job.webhook.tls.client_cert = client.cert_chain_pems[0].bytes().decode()
        job.webhook.tls.client_key = client.private_key_pem.bytes().decode()
    return job


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--over", default="plain", choices=("plain", "tls", "mutual", "plain_h2"))
    parser.add_argument("--http-version", default="AUTO", choices=("AUTO", "HTTP_1_1", "HTTP_2"))
    parser.add_argument("--redirects", default="NONE", choices=("NONE", "SAME_ORIGIN", "ANY"))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chronos-bench-"))
    server = start_nginx(folder)
    try:
        job = job_for(server, arguments)
        result = measure(job, seconds=arguments.seconds, rate=arguments.rate, profile=arguments.profile)
        result["answered"] = sum(call[3] == "200" for call in server.calls())
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
