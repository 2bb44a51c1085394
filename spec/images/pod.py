"""Runs the pod of a manifest as containers. What it knows of Kubernetes is what packaging/kubernetes and packaging/helm use."""

import base64
import json
import os
import time

from container import Container


def service_account_token(namespace, account, audience, seconds):
    """A token with the claims that the kubelet's have, signed by nobody: here, the stand-in of the API server vouches for it."""
    now = int(time.time())
    claims = {
        "iss": "https://kubernetes.default.svc",
        "aud": [audience],
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "iat": now,
        "nbf": now,
        "exp": now + seconds,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "1"}},
    }
    parts = ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, base64.urlsafe_b64encode(b"\0" * 256).rstrip(b"=")]).decode()


class Pod:
    """`objects` are a manifest's; `extra` has the data of ConfigMaps that it leaves to its reader, by name."""

    def __init__(self, objects, images, scratch, extra=None, hosts=""):
        self.objects = {(it["kind"], it["metadata"]["name"]): it for it in objects}
        workload = next(it for it in objects if it["kind"] == "Deployment")
        self.namespace = workload["metadata"].get("namespace", "default")
        self.spec = workload["spec"]["template"]["spec"]
        self.images, self.scratch, self.extra, self.hosts = images, scratch, extra or {}, hosts
        self.containers = []
        self.folders = {}
        os.chmod(scratch, 0o755)
        for volume in self.spec["volumes"]:
            self._make(volume)

    def _data(self, kind, name):
        found = self.objects.get((kind, name))
        if found is None:
            return self.extra[name]
        return found.get("stringData") or found["data"]

    def _files(self, name, files, mode):
        """A folder laid out as the kubelet lays out volumes, readable for the pod's group."""
        folder = f"{self.scratch}/{name}"
        os.makedirs(f"{folder}/..1")
        group = self.spec["securityContext"].get("fsGroup", 0)
        for file, text in files.items():
            path = f"{folder}/..1/{file}"
            with open(path, "w", encoding="utf-8") as output:
                output.write(text)
            os.chown(path, 0, group)
            os.chmod(path, mode)
            os.symlink(f"..data/{file}", f"{folder}/{file}")
        os.symlink("..1", f"{folder}/..data")
        self.folders[name] = folder

    def _make(self, volume):
        name = volume["name"]
        if "emptyDir" in volume:
            folder = f"{self.scratch}/{name}"
            os.makedirs(folder)
            os.chmod(folder, 0o777)
            self.folders[name] = folder
        elif "secret" in volume:
            secret = volume["secret"]
            self._files(name, self._data("Secret", secret["secretName"]), secret.get("defaultMode", 0o644))
        elif "configMap" in volume:
            self._files(name, self._data("ConfigMap", volume["configMap"]["name"]), 0o644)
        elif "image" in volume:
            self.folders[name] = self.images[volume["image"]["reference"]].root
        else:
            # With fsGroup, the kubelet gives the token's file to the group.
            token = next(it["serviceAccountToken"] for it in volume["projected"]["sources"] if "serviceAccountToken" in it)
            audience, account = token.get("audience", "kubernetes"), self.spec["serviceAccountName"]
            text = service_account_token(self.namespace, account, audience, token["expirationSeconds"])
            self._files(name, {token["path"]: text}, 0o640)

    def _container(self, description):
        context = {**self.spec["securityContext"], **description.get("securityContext", {})}
        assert context["readOnlyRootFilesystem"] and context["capabilities"]["drop"] == ["ALL"]
        image = self.images[description["image"]]
        env = {it["name"]: it["value"] for it in description.get("env", [])}
        volumes = []
        for it in description["volumeMounts"]:
            source = os.path.join(self.folders[it["name"]], it.get("subPath", "")).rstrip("/")
            volumes.append((source, it["mountPath"].rstrip("/"), not it.get("readOnly", False)))
        return Container(
            image,
            description.get("command"),
            env={name: expand(value, env) for name, value in env.items()},
            user=str(context["runAsUser"]) if "runAsUser" in context else None,
            # The pod's group: the other groups of a process are not set up here.
            group=context.get("fsGroup", context.get("runAsGroup")),
            volumes=volumes,
            hosts=self.hosts,
        )

    def start(self):
        """Runs the init containers, and starts the container `kong` or `proxy`, which it returns."""
        for description in self.spec.get("initContainers", []):
            container = self._container(description)
            status = container.run(f"{self.scratch}/{description['name']}.log")
            if status != 0:
                raise RuntimeError(f"{description['name']} ended with {status}:\n{container.output()}")
        (description,) = [it for it in self.spec["containers"] if it["name"] in ("kong", "proxy")]
        container = self._container(description).start(f"{self.scratch}/{description['name']}.log")
        self.containers.append(container)
        return container

    def stop(self):
        for container in self.containers:
            container.stop()


def expand(value, env):
    for name, other in env.items():
        value = value.replace(f"$({name})", other)
    return value
