"""Owns the static checks of the Helm chart: lint, render, kubeconform, checkov. `python -m devstack.charts` runs them all.

What is rendered is the chart with each file of its ci/ directory and with the defaults. kubeconform's schemas are made
here from the Kubernetes module and from crds/; checkov runs in an environment of its own, and only when what it would
look at has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from devstack import build, chartschemas

REPOSITORY: Final = Path(__file__).resolve().parents[1]
CHART: Final = REPOSITORY / "helm" / "livekit-egress-operator"
NAMESPACE: Final = "egress-system"
RELEASE: Final = "egress"
CHECKOV: Final = "3.2.495"
_CHECKOV_CONFIGURATION: Final = CHART / "ci" / "checkov.yaml"

Document = dict[str, Any]


class ChartError(RuntimeError):
    """The chart was refused; the message is what the tool said."""


def helm(*arguments: str | Path, stdin: str | None = None, kubeconfig: Path = Path(os.devnull)) -> str:
    """Run helm, without a cluster unless `kubeconfig` names one, and return its output.

    Raises ChartError with what it said, BuildError when it cannot be built.
    """
    return run(build.ensure("helm")["helm"], *arguments, stdin=stdin, kubeconfig=kubeconfig)


def values_files() -> list[Path]:
    """Return the combinations of values that are checked besides the defaults."""
    return sorted((CHART / "ci").glob("*-values.yaml"))


def template(
    *files: Path, values: Document | None = None, arguments: Sequence[str] = (), release: str = RELEASE
) -> list[Document]:
    """Return the objects that the chart renders. Raises ChartError."""
    options = [f"--values={path}" for path in files]
    given = None if values is None else json.dumps(values)
    if given is not None:
        options.append("--values=-")
    text = helm("template", release, CHART, f"--namespace={NAMESPACE}", *options, *arguments, stdin=given)
    return [document for document in yaml.safe_load_all(text) if document]


def lint() -> None:
    """Lint the chart with the defaults and each file of ci/. Raises ChartError."""
    for path in (None, *values_files()):
        helm("lint", "--strict", "--quiet", CHART, *([f"--values={path}"] if path else []))


def validate(documents: Sequence[Document]) -> None:
    """Check objects strictly against the schemas of the API. Raises ChartError with kubeconform's sentences."""
    tool = build.ensure("kubeconform")["kubeconform"]
    location = f"{chartschemas.ensure()}/{chartschemas.FILE_PATTERN}"
    run(tool, "-strict", "-schema-location", location, "-output", "text", stdin=yaml.safe_dump_all(documents))


def security(rendered: Mapping[str, Sequence[Document]]) -> bool:
    """Let checkov look at what each combination renders; False when it has passed the very same before.

    Raises ChartError with what was found; the file's name is the combination's.
    """
    texts = {name: yaml.safe_dump_all(documents) for name, documents in rendered.items()}
    looked_at = json.dumps([CHECKOV, _CHECKOV_CONFIGURATION.read_text(), texts])
    seal = hashlib.sha256(looked_at.encode()).hexdigest()
    passed = build.cache_directory() / "checkov" / seal
    if passed.exists():
        return False
    with tempfile.TemporaryDirectory() as directory:
        for name, text in texts.items():
            (Path(directory) / f"{name}.yaml").write_text(text)
        run(
            *(_uv(), "tool", "run", "--quiet", "--from", f"checkov=={CHECKOV}", "checkov"),
            *("--directory", directory, "--config-file", _CHECKOV_CONFIGURATION),
        )
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.touch()
    return True


def run(*command: str | Path, stdin: str | None = None, kubeconfig: Path = Path(os.devnull)) -> str:
    """Run a tool and return its output. Raises ChartError with what it said. Ends it after 300 s."""
    words = [str(word) for word in command]
    # Checks give the same answer everywhere: no settings of the user's own helm, not his cluster by accident.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HELM_")}
    environment |= {"KUBECONFIG": str(kubeconfig), "NO_COLOR": "1", "LOG_LEVEL": "WARNING"}
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    if done.returncode:
        raise ChartError((done.stderr + done.stdout).strip())
    return done.stdout


def _uv() -> str:
    own = build.cache_directory() / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else "")
    if not found:
        raise ChartError("uv is missing: run `make setup`")
    return found


def main() -> int:
    """Run all checks; return 1 and print what was refused when one fails."""
    try:
        lint()
        rendered = {"defaults": template()} | {path.stem: template(path) for path in values_files()}
        documents = [document for objects in rendered.values() for document in objects]
        examples = [
            document
            for path in sorted((REPOSITORY / "examples").glob("*.yaml"))
            for document in yaml.safe_load_all(path.read_text())
        ]
        validate([*documents, *examples])
        looked = security(rendered)
    except (ChartError, build.BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"chart: {len(rendered)} combinations of values, {len(documents)} objects, {len(examples)} examples:"
        f" helm lint, kubeconform and checkov{'' if looked else ' (unchanged)'} pass"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
