"""Starts moto on a free port of loopback, and writes the port to stdout.

Where moto is no AWS in a point that `wf` lives by, it is replaced here. What is replaced is our own reading of AWS, so that the tests prove
nothing about these points; everything else that moto answers is independent:

- RDS: an instance that was created, changed or promoted is `modifying` (`creating`) for a while. A promotion demands a replica that is
  `available`, and ends the replication on both sides; moto leaves the source in place and takes a second promotion.
- RDS: deleting a replica in another region works; moto fails after it has deleted it.
- EKS: DescribeUpdate, which moto has not, tells of the updates that moto made; a repeated client request token is the same update.
- EKS: moto's clusters have no Kubernetes API; DescribeCluster tells the endpoint and the authority that `PUT /wire/clusters` gave it.

All calls are written down, with who made them; `GET /wire/calls` tells them, `DELETE /wire/calls` forgets them.
"""

import base64
import io
import json
import re
import time
import urllib.parse

from moto.core.responses import ActionResult
from moto.eks import models as eks, responses as eks_responses, urls as eks_urls
from moto.eks.exceptions import ResourceNotFoundException
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.rds import models as rds
from moto.rds.exceptions import InvalidDBInstanceStateError
from werkzeug.serving import WSGIRequestHandler, make_server

BUSY_SECONDS = 1.0
# Where the Kubernetes API of the clusters is: "url", "authority".
CLUSTERS = {}


def become(status):
    """A status that lasts for a while, and then is `available`."""

    def changed(original):
        def method(backend, *args, **kwargs):
            instance = original(backend, *args, **kwargs)
            instance.busy = (status, time.monotonic() + BUSY_SECONDS)
            return instance

        return method

    return changed


def status_of(instance):
    status, until = getattr(instance, "busy", ("", 0.0))
    return status if time.monotonic() < until else instance.__dict__.get("settled_status", "available")


def promote_read_replica(backend, db_kwargs):
    name = db_kwargs["db_instance_identifier"]
    replica = backend.describe_db_instances(name)[0]
    if not replica.is_replica or replica.status != "available":
        raise InvalidDBInstanceStateError(name, "promote")
    backend.find_db_from_id(replica.source_db_instance_identifier).remove_replica(replica)
    replica.is_replica = False
    replica.source_db_instance_identifier = None
    replica.update(**db_kwargs)
    return replica


def remove_replica(source, replica):
    names = (replica.db_instance_identifier, replica.db_instance_arn)
    source.replicas = [name for name in source.replicas if name not in names]


def patch_rds():
    rds.DBInstance.status = property(status_of, lambda instance, status: instance.__dict__.update(settled_status=status))
    rds.DBInstance.remove_replica = remove_replica
    rds.RDSBackend.promote_read_replica = become("modifying")(promote_read_replica)
    rds.RDSBackend.modify_db_instance = become("modifying")(rds.RDSBackend.modify_db_instance)
    rds.RDSBackend.create_db_instance_read_replica = become("creating")(rds.RDSBackend.create_db_instance_read_replica)


def patch_eks():
    original = eks.EKSBackend.update_nodegroup_config

    def update_nodegroup_config(backend, cluster_name, nodegroup_name, client_request_token=None, **kwargs):
        updates = backend.__dict__.setdefault("updates", {})
        for update in updates.values():
            if client_request_token and update["token"] == client_request_token:
                return update["told"]
        told = original(backend, cluster_name=cluster_name, nodegroup_name=nodegroup_name, **kwargs)
        updates[told["id"]] = {"token": client_request_token, "told": told}
        return told

    def describe_update(response):
        updates = response.eks_backend.__dict__.get("updates", {})
        update = updates.get(response._get_param("updateId"))
        if update is None:
            raise ResourceNotFoundException(
                clusterName=response._get_param("name"), nodegroupName=None, fargateProfileName=None, addonName=None, message="No update found"
            )
        return ActionResult({"update": update["told"]})

    def describe_cluster(backend, name):
        cluster = describe_cluster_of_moto(backend, name)
        if CLUSTERS:
            cluster.endpoint = f"{CLUSTERS['url']}/k8s/{backend.region_name}/{name}"
            cluster.certificate_authority = {"data": base64.b64encode(CLUSTERS["authority"].encode()).decode()}
        return cluster

    describe_cluster_of_moto = eks.EKSBackend.describe_cluster
    eks.EKSBackend.describe_cluster = describe_cluster
    eks.EKSBackend.update_nodegroup_config = update_nodegroup_config
    eks_responses.EKSResponse.describe_update = describe_update
    eks_urls.url_paths["{0}/clusters/(?P<name>[^/]+)/updates/(?P<updateId>[^/]+)$"] = eks_urls.response.dispatch


class Recorder:
    """Writes down what is asked of the server."""

    def __init__(self, app):
        self.app = app
        self.calls = []

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/wire/calls":
            told = json.dumps(self.calls).encode()
            if environ["REQUEST_METHOD"] == "DELETE":
                self.calls = []
            start_response("200 OK", [("Content-Type", "application/json")])
            return [told]
        if environ["PATH_INFO"] == "/wire/clusters":
            CLUSTERS.update(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b"null"]
        if "Credential=" in environ.get("HTTP_AUTHORIZATION", ""):
            self.record(environ)
        return self.app(environ, start_response)

    def record(self, environ):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", environ["HTTP_AUTHORIZATION"])
        action = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("Action")
        self.calls.append(
            {
                "service": scope[2],
                "region": scope[1],
                "action": action[0] if action else f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}",
                "by": "wf" if "aws-sdk-rust" in environ.get("HTTP_USER_AGENT", "") else "others",
            }
        )


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        pass


def main():
    patch_rds()
    patch_eks()
    app = Recorder(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
