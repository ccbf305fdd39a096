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
    },
    install_requires=[
        "tensorflow>=2.16",
        "numpy>=1.26",
        "pillow>=10.1",
        "click>=8.1.7",
        "tqdm>=4.66",
        "matplotlib>=3.8",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.16"],
        "peers": ["torch", "jax"],  # what benchmarks/run.py compares with
        "sweep": [
            "ray[client,tune]>=2.60",
            "optuna>=5.0,<6",
            "cmaes>=0.13",
            "tomli; python_version<'3.11'",
        ],
        "test": [
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "scipy>=1.11",
            "scikit-learn>=1.4",
            "ruff>=0.6",
            "pyright[nodejs]==1.1.414",  # each release finds something else
        ],
    },
    entry_points={"console_scripts": ["reptile = supervised_reptile.cli:main"]},
)
