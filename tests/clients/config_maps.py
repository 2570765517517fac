"""What a program with the official Python client does in a pod: it lists the config maps of a namespace and watches
them, by the in-cluster configuration. It tells what it sees as lines of JSON, up to the exception that ends it, and
what it is answered then."""

import json
import os
import sys

from kubernetes import client, watch
from kubernetes.config.incluster_config import InClusterConfigLoader


def main(token_file, ca_file, namespace):
    configuration = client.Configuration()
    # `load_incluster_config` is this with the paths that a pod has. Where the server is, the environment says.
    InClusterConfigLoader(token_file, ca_file, environ=os.environ).load_and_set(configuration)
    api = client.CoreV1Api(client.ApiClient(configuration))
    try:
        listed = api.list_namespaced_config_map(namespace)
        tell("listed", names=[item.metadata.name for item in listed.items])
        version = listed.metadata.resource_version
        for event in watch.Watch().stream(api.list_namespaced_config_map, namespace, resource_version=version):
            tell(event["type"], name=event["object"].metadata.name)
    except client.ApiException as exception:
        refused("stopped", exception)
        try:
            api.list_namespaced_config_map(namespace)
        except client.ApiException as exception:
            refused("refused", exception)


def refused(event, exception):
    said = json.loads(exception.body)["message"] if exception.body else exception.reason
    tell(event, status=exception.status, said=said)


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


main(*sys.argv[1:])
