"""Runs the services of a compose file as containers, in their order. What it knows is what packaging/compose uses."""

import os
import re

from container import Container

# Keys that say nothing about how a container runs here.
PASSED_OVER = {"build", "cap_drop", "security_opt", "read_only", "ports"}
KNOWN = PASSED_OVER | {"image", "depends_on", "environment", "entrypoint", "command", "tmpfs", "volumes", "healthcheck"}


def interpolate(value):
    """`${NAME:-default}` becomes its default, and `$$` a dollar."""
    if isinstance(value, dict):
        return {key: interpolate(member) for key, member in value.items()}
    if isinstance(value, list):
        return [interpolate(member) for member in value]
    if isinstance(value, str):
        return re.sub(r"\$\$|\$\{\w+:-([^}]*)\}", lambda found: "$" if found[0] == "$$" else found[1], value)
    return value


class Project:
    """`images` has an `Image` for each name that the file has."""

    def __init__(self, path, document, images, scratch):
        self.folder = os.path.dirname(os.path.abspath(path))
        self.services = interpolate(document["services"])
        self.images, self.scratch = images, scratch
        self.containers = {}
        for name, service in self.services.items():
            assert set(service) <= KNOWN, f"{name}: {set(service) - KNOWN}"
            assert service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} is not restricted"

    def _volumes(self, service):
        for volume in service.get("volumes", []):
            source, target, mode = volume.split(":")
            assert mode == "ro,z", volume
            yield os.path.join(self.folder, source), target

    def _start(self, name):
        service = self.services[name]
        image = self.images[service["image"]]
        command = service.get("command", [] if "entrypoint" in service else image.config.get("Cmd", []))
        container = Container(
            image,
            [*service.get("entrypoint", image.config.get("Entrypoint", [])), *command],
            env={key: str(value) for key, value in service.get("environment", {}).items()},
            tmpfs=service.get("tmpfs", []),
            volumes=list(self._volumes(service)),
            hosts=" ".join(self.services),
        )
        self.containers[name] = container.start(f"{self.scratch}/{name}.log")

    def _wait(self, name, condition):
        container = self.containers[name]
        if condition == "service_completed_successfully":
            status = container.process.wait(60)
            if status != 0:
                raise RuntimeError(f"{name} ended with {status}:\n{container.output()}")
        elif condition == "service_healthy":
            kind, *test = self.services[name]["healthcheck"]["test"]
            assert kind == "CMD"
            container.wait_until(lambda: container.execute(test).returncode == 0)
        else:
            raise ValueError(condition)

    def up(self):
        """Starts all services, each once those that it depends on are as it wants them; waits until all are healthy."""
        done = {}
        while len(self.containers) < len(self.services):
            for name, service in self.services.items():
                needs = service.get("depends_on", {})
                if name in self.containers or not set(needs) <= set(self.containers):
                    continue
                for other, how in needs.items():
                    if done.get(other) != how["condition"]:
                        self._wait(other, how["condition"])
                        done[other] = how["condition"]
                self._start(name)
        for name, service in self.services.items():
            if "healthcheck" in service and name not in done:
                self._wait(name, "service_healthy")

    def down(self):
        for container in self.containers.values():
            container.stop()
