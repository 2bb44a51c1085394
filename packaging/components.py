"""What is linked into the library and the command, from Cargo.lock: an SBOM and the licences' texts.

components.py BOM LICENSES: writes a CycloneDX file and a text file. The same bytes for the same sources, Rust's version and
SOURCE_DATE_EPOCH. What only compiles, tests or measures is not in them.
"""

import collections
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

TARGETS = tomllib.loads(pathlib.Path("deny.toml").read_text())["graph"]["targets"]
# Of crates that offer a choice, with each licence in a file of its own, MIT's text is enough.
OTHER_CHOICES = re.compile(r"(?i)(licen[cs]e-apache.*|unlicense|licen[cs]e-(zlib|bsl|boost).*)")
LICENSE_FILE = re.compile(r"(?i)(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?")

MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--quiet", "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


def linked():
    """The crates that some target's artefacts are linked of: pairs of name and version."""
    found = set()
    for target in TARGETS:
        tree = cargo("tree", "--workspace", "--all-features", "--target", target,
                     "--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "--format", "{p}")
        found |= {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in found}


def expression(package):
    """SPDX. Old crates write a slash for OR; some name only a file, such as LICENSE-MIT."""
    if package["license"]:
        return " OR ".join(part.strip() for part in package["license"].split("/"))
    named = re.fullmatch(r"(?i)licen[cs]e-(.+)", package["license_file"] or "")
    if not named:
        sys.exit(f"{package['name']}: which licence is it under? {package['license_file']}")
    return named[1]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums):
    entry = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": expression(package)}],
        "purl": purl(package),
    }
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def bom(packages, nodes, checksums, rust):
    top = next(package for package in packages if package["name"] == "kong-vault")
    own = [package for package in packages if package["source"] is None]
    others = [package for package in packages if package["source"] is not None]
    by_id = {package["id"]: package for package in packages}
    standard_library = {
        "type": "library",
        "bom-ref": f"pkg:generic/rust-std@{rust}",
        "name": "rust-std",
        "version": rust,
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": f"pkg:generic/rust-std@{rust}",
        "externalReferences": [{"type": "vcs", "url": "https://github.com/rust-lang/rust"}],
    }
    # The application's own crates are one component, as they have one version and are released together.
    edges = collections.defaultdict(set)
    for node in nodes:
        if node["id"] not in by_id:
            continue
        package = by_id[node["id"]]
        source = purl(top if package in own else package)
        for dependency in node["deps"]:
            used = by_id.get(dependency["pkg"])
            if used and used not in own and any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                edges[source].add(purl(used))
    edges[purl(top)].add(standard_library["bom-ref"])
    components = [component(package, checksums) for package in others] + [standard_library]
    application = component(top, checksums) | {"type": "application", "description": top["description"]}
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": application,
        },
        "components": components,
        "dependencies": [{"ref": entry["bom-ref"], "dependsOn": sorted(edges[entry["bom-ref"]])}
                         for entry in [application, *components]],
    }
    # A name of this content's own, which is the same wherever it is made.
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content))}"
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def texts(package):
    """The licence's texts that the crate comes with."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and LICENSE_FILE.fullmatch(file.name))
    if " OR " in expression(package) and any(re.fullmatch(r"(?i)licen[cs]e-mit.*", file.name) for file in files):
        files = [file for file in files if not OTHER_CHOICES.fullmatch(file.name)]
    found = [file.read_text(errors="replace") for file in files]
    if not found and "MIT" in expression(package):
        authors = ", ".join(re.sub(r" *<.*", "", author) for author in package["authors"])
        found = [f"Copyright {authors or 'the authors of ' + package['repository']}\n\n{MIT}"]
    if not found:
        sys.exit(f"{package['name']}: the crate has no licence's text")
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in found]


def licenses(packages, rust):
    users = collections.defaultdict(list)
    lines = ["The library and the command of kong-vault contain these, under their authors' licences:", ""]
    for package in packages:
        if package["source"] is None:
            continue
        name = f"{package['name']} {package['version']}"
        lines.append(f"{name}: {expression(package)}, {package['repository']}")
        for text in texts(package):
            users[text].append(name)
    name = f"Rust's standard library {rust}"
    lines.append(f"{name}: MIT OR Apache-2.0, https://github.com/rust-lang/rust")
    users[f"Copyright The Rust Project contributors\n\n{MIT}"].append(name)
    for text, names in sorted(users.items(), key=lambda entry: entry[1]):
        lines += ["", "-" * 100, ", ".join(names), "", text]
    return "\n".join(lines) + "\n"


def main(bom_file, licenses_file):
    wanted = linked()
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--all-features"))
    packages = sorted((package for package in metadata["packages"] if (package["name"], package["version"]) in wanted),
                      key=lambda package: (package["name"], package["version"]))
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    rust = re.search(r"\d+\.\d+\.\d+", subprocess.check_output(["rustc", "--version"], text=True))[0]
    content = bom(packages, metadata["resolve"]["nodes"], checksums, rust)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content)
    if wrong:
        sys.exit(f"the SBOM breaks CycloneDX's schema: {wrong}")
    pathlib.Path(bom_file).write_text(content)
    pathlib.Path(licenses_file).write_text(licenses(packages, rust))


main(*sys.argv[1:])
