"""Renew what the tests know of the schemas of Kubernetes and KEDA: the fields that we print, with their types.

``python tools/kubernetes_schemas.py SWAGGER.json CRD.yaml…`` takes the OpenAPI document of a release of Kubernetes
(``api/openapi-spec/swagger.json`` of the Go module ``k8s.io/kubernetes``) and the definitions of KEDA's own kinds
(``config/crd/bases`` of ``github.com/kedacore/keda/v2``), and writes ``tests/launch/kubernetes_schemas.json``. Fields
that we do not print are left out, and the schemas refuse them; what the documents say about required fields, types
and choices is kept. Before that, the documents that we print are validated against the whole of theirs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
from finding import ROOT
from ruamel.yaml import YAML

from rollwright.launch.kubernetes import KubernetesLauncher
from rollwright.launch.kubernetes_objects import PodPlan, WorkToScaleBy
from rollwright.launch.launcher import Resources, WorkerCommand

TARGET: Final = ROOT / "tests" / "launch" / "kubernetes_schemas.json"
KEPT: Final = ("type", "required", "enum", "format", "pattern", "minimum", "maximum", "x-kubernetes-int-or-string")
ROOTS: Final = {
    "Job": "io.k8s.api.batch.v1.Job",
    "Deployment": "io.k8s.api.apps.v1.Deployment",
}


def print_documents() -> Iterator[Mapping[str, Any]]:
    """Yield one of each document that we print, with every field that we can print."""
    plan = PodPlan(image="registry/rollwright:1", volume="project", secret="rollwright")
    launcher = KubernetesLauncher(plan, project="p1", make_token=lambda: "t")
    full = Resources(cores=2, memory=1.5, gpus=1, seconds=90)
    texts = [
        launcher.describe(2, _command(ends=True), full),
        launcher.describe(2, _command(ends=False), full),
        *(
            launcher.describe_scaling(_command(ends=True), full, WorkToScaleBy(url=url, least=0, most=3, every=15))
            for url in ("postgresql://db/tasks", "mongodb://db/tasks")
        ),
    ]
    for text in texts:
        yield from YAML(typ="safe", pure=True).load_all(text)


def _command(*, ends: bool) -> WorkerCommand:
    place = Path("/project")
    return WorkerCommand(name="alpha", words=("rollwright", "worker"), folder=place, logs=place, ends=ends)


def read_schemas(swagger: Path, crds: list[Path]) -> dict[str, Any]:
    """Return the whole schema of each kind."""
    definitions = json.loads(swagger.read_text(encoding="utf-8"))["definitions"]
    found = {kind: resolve(definitions[name], definitions, ()) for kind, name in ROOTS.items()}
    for path in crds:
        crd = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        (version,) = (one for one in crd["spec"]["versions"] if one["name"] == "v1alpha1")
        found[crd["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return found


def resolve(schema: Any, definitions: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    """Return a schema with what it refers to in its place."""
    if isinstance(schema, list):
        return [resolve(item, definitions, above) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in above:
            return {}
        if name.endswith(("Quantity", "IntOrString")):
            return {"type": ["string", "integer"]}
        return resolve(definitions[name], definitions, (*above, name))
    return {key: resolve(value, definitions, above) for key, value in schema.items()}


def reduce(schema: Mapping[str, Any], values: list[Any]) -> dict[str, Any]:
    """Return what a schema says of the fields that these values have."""
    kept: dict[str, Any] = {key: schema[key] for key in KEPT if key in schema}
    given = [value for value in values if isinstance(value, dict)]
    if "properties" in schema and given:
        names = sorted({name for value in given for name in value})
        kept["properties"] = {
            name: reduce(schema["properties"][name], [value[name] for value in given if name in value])
            for name in names
        }
        kept["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = reduce(
            schema["additionalProperties"], [item for value in given for item in value.values()]
        )
    if "items" in schema:
        kept["items"] = reduce(schema["items"], [item for value in values for item in value])
    return kept


def main(swagger: Path, crds: list[Path]) -> None:
    """Validate what we print against the whole schemas, and write what is needed of them."""
    schemas = read_schemas(swagger, crds)
    documents = [*print_documents()]
    for document in documents:
        jsonschema_rs.validator_for(schemas[document["kind"]]).validate(document)
    kinds = sorted({document["kind"] for document in documents})
    reduced = {kind: reduce(schemas[kind], [one for one in documents if one["kind"] == kind]) for kind in kinds}
    TARGET.write_text(json.dumps(reduced, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(documents)} documents are valid; {TARGET.relative_to(ROOT)}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
