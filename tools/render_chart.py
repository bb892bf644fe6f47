"""Renders the Helm chart into deploy/kubernetes.yaml, for clusters without Helm and for the tests.

Needs the `helm` program, or the package helm-python-sdk, which contains Helm 4: `pip install helm-python-sdk` anywhere,
then `PYTHON -m tools.render_chart`. The first lines say which chart it was, so that a test notices a forgotten one.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "homeport"
RENDERED = ROOT / "deploy" / "kubernetes.yaml"
RELEASE = "homeport"
STORAGE = "s3://registry/main?endpoint=https://objects.example"


def fingerprint() -> str:
    """A digest of everything in the chart."""
    digest = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(CHART)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def rendered() -> str:
    """The chart's resources with its own values, in the order of their files."""
    helm = shutil.which("helm")
    if helm is not None:
        words = [helm, "template", RELEASE, str(CHART), "--set", f"storage={STORAGE}"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout
    chart = importlib.import_module("helm_python").Chart
    with chart.load(str(CHART)) as loaded:
        files: dict[str, str] = loaded.render(values={"storage": STORAGE}, name=RELEASE)
    kept = (text.strip() for name, text in sorted(files.items()) if name.endswith(".yaml"))
    return "\n".join(f"---\n{text}" for text in kept if text) + "\n"


def main() -> None:
    """Write the file anew."""
    RENDERED.write_text(
        "# Homeport on Kubernetes without Helm: set HOMEPORT_STORAGE and the image, make the Secret `homeport` as\n"
        "# deploy/helm/homeport/values.yaml says, then `kubectl apply -f deploy/kubernetes.yaml`.\n"
        "# Written by tools/render_chart.py; do not edit.\n"
        f"# chart: sha256:{fingerprint()}\n" + rendered()
    )
    print(f"{RENDERED} written", file=sys.stderr)


if __name__ == "__main__":
    main()
