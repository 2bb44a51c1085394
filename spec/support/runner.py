"""Plays GitHub's workflows and the project's action on this machine: what their `run:` steps do is done by the shell that GitHub
would take, in the same environment. Of the actions of others it knows checkout, and how artifacts are handed on; the rest is noted.

runner.py WORKFLOW CONTEXT RESULT, the last two JSON. CONTEXT: `workspace` and `temp` (directories), `repository` (what a checkout
brings), `project` (the action's own files), `inputs` (of the action, instead of those that the workflow gives it), `env` (of the
shells: nothing else is in it but PATH), and the contexts `github`, `vars`, `secrets`. RESULT: `jobs`, by name a list of `result`,
`outputs`, `log`, `used`, `workspace`.
"""

import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml


OURS = "kong-vault/kong-vault"


class Loader(yaml.SafeLoader):
    """`on` is a key, and no truth."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z_][\w.-]*)(\()?|(==|!=|&&|\|\||!|\(|\)|,))")


def look_up(path, contexts):
    value = contexts
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else value


def evaluate(expression, contexts):
    """The small part of GitHub's expressions that the project writes; what is unknown is an error."""
    functions = {
        "always": lambda: True,
        "failure": lambda: contexts["failed"],
        "contains": lambda text, part: part in text,
        "hashFiles": lambda *paths: "0" * 64,
    }
    python, at = "", 0
    while expression[at:].strip():
        token = TOKEN.match(expression, at)
        if not token:
            raise ValueError(f"not understood: {expression}")
        text, name, call, operator = token.groups()
        if text:
            python += repr(text[1:-1].replace("''", "'"))
        elif call:
            python += f"functions[{name!r}]("
        elif name:
            python += {"true": "True", "false": "False"}.get(name) or f"look_up({name!r}, contexts)"
        else:
            python += {"&&": " and ", "||": " or ", "!": " not "}.get(operator, operator)
        at = token.end()
    return eval(python, {"functions": functions, "look_up": look_up, "contexts": contexts})


def text_of(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def fill(value, contexts):
    """The value, with its `${{ … }}` replaced."""
    if isinstance(value, dict):
        return {key: fill(part, contexts) for key, part in value.items()}
    if isinstance(value, list):
        return [fill(part, contexts) for part in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: text_of(evaluate(found[1], contexts)), value)


def holds(condition, contexts):
    if condition is None:
        return not contexts["failed"]
    condition = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", str(condition).strip())
    if not re.search(r"\b(always|failure)\(\)", condition) and contexts["failed"]:
        return False
    return bool(evaluate(condition, contexts))


class Job:
    """One run of steps: a job's, for one cell of its matrix, or a composite action's."""

    def __init__(self, context, contexts, name):
        self.context = context
        self.contexts = {"steps": {}, "failed": False, "runner": {"temp": context["temp"], "arch": "X64"}} | contexts
        self.workspace = pathlib.Path(context["workspace"]) / name
        self.workspace.mkdir(parents=True)
        self.log, self.used = "", []

    def files(self, name):
        path = pathlib.Path(self.context["temp"]) / name
        path.write_text("")
        return path

    def shell(self, step, env):
        output = self.files("output")
        github = self.contexts["github"]
        script = self.files("script")
        script.write_text(step["run"])
        environment = {
            "PATH": os.environ["PATH"], "CI": "true", "RUNNER_TEMP": self.context["temp"], "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(output), "GITHUB_REPOSITORY": github.get("repository", ""), "GITHUB_SHA": github.get("sha", ""),
            "GITHUB_REF_NAME": github.get("ref_name", ""), "GITHUB_EVENT_NAME": github.get("event_name", ""),
            "GITHUB_ACTION_PATH": self.context["project"],
        }
        environment |= self.context["env"] | {key: text_of(value) for key, value in env.items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script], cwd=self.workspace / step.get("working-directory", "."),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, check=False)
        self.log += done.stdout
        return done.returncode == 0, dict(line.split("=", 1) for line in output.read_text().splitlines())

    def action(self, step):
        """What an action of others leaves behind, as far as later steps need it."""
        name, inputs = step["uses"].split("@")[0], step.get("with", {})
        self.used.append({"action": step["uses"], "with": inputs})
        artifacts = pathlib.Path(self.context["temp"]) / "artifacts"
        if name == OURS:
            return self.composite(inputs | self.context.get("inputs", {}))
        if name == "actions/checkout":
            shutil.copytree(self.context["repository"], self.workspace / inputs.get("path", "."), dirs_exist_ok=True)
        elif name == "actions/upload-artifact":
            shutil.copytree(self.workspace / inputs["path"], artifacts / inputs["name"])
        elif name == "actions/download-artifact":
            to = self.workspace / inputs["path"]
            found = sorted(artifacts.glob(inputs.get("name") or inputs["pattern"]))
            for artifact in found:
                apart = "pattern" in inputs and inputs.get("merge-multiple") is not True
                shutil.copytree(artifact, to / artifact.name if apart else to, dirs_exist_ok=True)
            return bool(found), {}
        elif name == "docker/build-push-action":
            return True, {"digest": "sha256:" + "d" * 64}
        return True, {}

    def composite(self, inputs):
        """The project's own action, whose files are not the repository's that it is called in."""
        action = yaml.load((pathlib.Path(self.context["project"]) / "action.yml").read_text(), Loader)
        unknown = set(inputs) - set(action["inputs"])
        if unknown:
            self.log += f"no such inputs: {unknown}\n"
            return False, {}
        own = self.contexts
        inputs = {name: it.get("default") for name, it in action["inputs"].items()} | inputs
        self.contexts = own | {"steps": {}, "inputs": inputs}
        self.play(action["runs"]["steps"], {})
        outputs = {name: fill(it["value"], self.contexts) for name, it in action["outputs"].items()}
        ok, self.contexts = not self.contexts["failed"], own
        return ok, outputs

    def play(self, steps, env):
        for step in steps:
            if not holds(step.get("if"), self.contexts):
                continue
            here = self.contexts | {"env": fill(env, self.contexts)}
            step = fill(step, here)
            ok, outputs = self.action(step) if "uses" in step else self.shell(step, here["env"] | step.get("env", {}))
            if "id" in step:
                self.contexts["steps"][step["id"]] = {"outputs": outputs}
            if not ok:
                self.contexts["failed"] = True
                self.log += f"failed: {step.get('name') or step.get('uses') or step['run']}\n"

    def result(self, outputs):
        return {
            "result": "failure" if self.contexts["failed"] else "success", "log": self.log, "used": self.used,
            "workspace": str(self.workspace),
            "outputs": {name: fill(value, self.contexts) for name, value in outputs.items()},
        }


def cells(matrix):
    """The cells of a matrix, which has either lists or `include`."""
    if "include" in matrix:
        return matrix["include"]
    return [dict(zip(matrix, values)) for values in itertools.product(*matrix.values())]


def needed(job):
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else needs


def summary(runs):
    failed = any(run["result"] == "failure" for run in runs)
    return {"result": "failure" if failed else "success", "outputs": runs[0]["outputs"] if runs else {}}


def play_workflow(context, path, contexts, jobs):
    """Each job after those that it needs; one after the other."""
    waiting = yaml.load(pathlib.Path(path).read_text(), Loader)["jobs"]
    done = {}
    while waiting:
        name = next(name for name, job in waiting.items() if not set(needed(job)) & set(waiting))
        job = waiting.pop(name)
        here = contexts | {"needs": done, "failed": any(done[need]["result"] != "success" for need in needed(job))}
        if not holds(job.get("if"), here):
            done[name] = {"result": "skipped", "outputs": {}}
        elif "uses" in job:
            below = play_workflow(context, os.path.join(context["repository"], job["uses"]), contexts, jobs)
            done[name] = summary(list(below.values()))
        else:
            jobs[name] = []
            for number, cell in enumerate(cells(job.get("strategy", {}).get("matrix", {"include": [{}]}))):
                run = Job(context, here | {"matrix": cell}, f"{name}-{number}")
                run.play(job["steps"], job.get("env", {}))
                jobs[name].append(run.result(job.get("outputs", {})))
            done[name] = summary(jobs[name])
    return done


def main():
    context = json.loads(pathlib.Path(sys.argv[2]).read_text())
    contexts = {name: context.get(name, {}) for name in ("github", "vars", "secrets")}
    path = pathlib.Path(sys.argv[1])
    jobs = {}
    play_workflow(context, path, contexts, jobs)
    pathlib.Path(sys.argv[3]).write_text(json.dumps({"jobs": jobs}))


main()
