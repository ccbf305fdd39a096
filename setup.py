"""Installs the package `supervised_reptile` and the console command `reptile`."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Data files at the repository's top level, inside the package where it is installed; the browser
# demo only if it was built before.
DATA_FOLDERS = {"supervised_reptile.metadata": "metadata"}
if (ROOT / "web" / "dist" / "index.html").exists():
    DATA_FOLDERS["supervised_reptile.web"] = "web/dist"

setup(
    name="supervised-reptile",
    version="0.1.0",
    description="Few-shot learning with Reptile and first-order MAML in TensorFlow 2",
    long_description=(ROOT / "README.md").read_text(encoding="utf8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["supervised_reptile", "supervised_reptile.*"]),
        *DATA_FOLDERS,
    ],
    package_dir=DATA_FOLDERS,
    package_data={
        **{name: ["**/*"] for name in DATA_FOLDERS},
        "supervised_reptile": ["pretrained/*"],
        "supervised_reptile.analysis.report": ["*.css", "*.jinja"],
    },
    # Lower and upper ends are both tested (make test-all); tests/oldest.txt pins the lower ones.
    install_requires=[
        "tensorflow>=2.16.1,<2.22",
        "numpy>=1.26.0,<3",
        "scipy>=1.11.1,<2",
        "pillow>=10.1.0,<14",
        "click>=8.1.7,<9",
        "platformdirs>=4.0.0,<5",
        "tqdm>=4.66.0,<5",
        "matplotlib>=3.8.0,<4",
        "jinja2>=3.1.2,<4",
        "markdown-it-py>=3.0.0,<5",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.16.1,<2.22"],
        "peers": ["torch>=2.13,<3", "jax>=0.10,<0.11"],  # what benchmarks/run.py compares with
        "sweep": [
            "ray[client,tune]>=2.60.0,<3",
            "optuna>=5.0.0,<6",
            "cmaes>=0.13.0,<0.14",
            "tomli>=2.0.1,<3; python_version<'3.11'",
        ],
        "test": [
            "pytest>=8.0.0,<10",
            "pytest-xdist>=3.6.1,<4",
            "hypothesis>=6.100.0,<7",
            "scikit-learn>=1.4.0,<2",
            "pillow-heif>=0.16.0,<2",
            "ruff>=0.17.6,<0.18",
            "pyright[nodejs]==1.1.414",  # each release finds something else
        ],
    },
    entry_points={"console_scripts": ["reptile = supervised_reptile.cli.main:main"]},
)
