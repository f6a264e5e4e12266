"""manifests/check_cluster.py as a module: it is a script outside src/."""

import runpy
from typing import Any

from support.project import ROOT

PATH = ROOT / "manifests/check_cluster.py"
NAMES: dict[str, Any] = runpy.run_path(str(PATH))
LABEL: tuple[str, str] = NAMES["LABEL"]
CLUSTER_WIDE: tuple[str, ...] = NAMES["CLUSTER_WIDE"]
