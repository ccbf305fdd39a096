#!/usr/bin/env python3
"""The browser demo in a real browser, beside Python: accuracy, agreement of logits, time.

Serves the built page with the weights of a run and has a headless browser solve evaluation
episodes of Omniglot's test characters, drawing by drawing through the page's own pipeline. Needs
`npm ci && npm run build` in web/, and Chromium.

    python benchmarks/browser.py --checkpoint runs/o5-10k --data-dir data/omniglot
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import click
import numpy as np

from supervised_reptile.system.start_tensorflow import start_tensorflow

WEB = Path(__file__).resolve().parents[1] / "web"


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--data-dir", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--episodes", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--shots", default=1, show_default=True, type=click.IntRange(1, 5))
@click.option("--steps", default=50, show_default=True, type=click.IntRange(min=1))
@click.option("--backend", default="wasm", show_default=True)
def main(
    checkpoint: Path | None, data_dir: Path, episodes: int, shots: int, steps: int, backend: str
) -> None:
    start_tensorflow()
    from browser_cases import make_cases

    from supervised_reptile.analysis.statistics import accuracy
    from supervised_reptile.inference.demo_server import make_server, read_site
    from supervised_reptile.inference.export import web_files
    from supervised_reptile.runs.open_weights import open_snapshot
    from supervised_reptile.system.package_files import web_folder

    snapshot = open_snapshot(checkpoint)
    cases = make_cases(snapshot, data_dir, episodes, shots, steps)
    model = {f"model/{name}": content for name, content in web_files(snapshot).items()}
    with make_server(read_site(web_folder(), model), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/?backend={backend}"
        report = measured(url, cases)
        server.shutdown()
    right = np.array([case["right"] for case in cases])
    for name, scores in (
        ("Python", np.array([case["scores"] for case in cases])),
        ("browser", np.array(report["scores"])),
    ):
        correct = (scores.argmax(axis=2) == right).sum(axis=1)
        print(f"{name}: {accuracy(correct, right.shape[1])}")
    off = np.abs(np.array(report["scores"]) - np.array([case["scores"] for case in cases]))
    print(f"largest difference of a logit after {steps} inner steps: {off.max():.2e}")
    low, middle, high = np.percentile(report["seconds"], (25, 50, 75))
    print(f"adaptation, {steps} inner steps: {middle:.3f} s ({low:.3f} to {high:.3f})")


def measured(url: str, cases: list[dict]) -> dict[str, list]:
    """What tests/browser/numbers.test.ts reports of these cases on the page at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        given, report = Path(folder) / "cases.json", Path(folder) / "report.json"
        given.write_text(json.dumps(cases), encoding="utf8")
        names = {"PAGE": url, "CASES": given, "REPORT": report}
        environment = {f"REPTILE_{name}": str(value) for name, value in names.items()}
        command = ["npm", "run", "--silent", "test:browser", "--", "tests/browser/numbers.test.ts"]
        done = subprocess.run(
            command, cwd=WEB, env={**os.environ, **environment}, capture_output=True, text=True
        )
        if not report.exists():
            raise click.ClickException(f"the browser did not finish:\n{done.stdout}{done.stderr}")
        return json.loads(report.read_text(encoding="utf8"))


if __name__ == "__main__":
    main()
