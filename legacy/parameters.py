"""Scale and zero point of inputs and outputs, for programs that feed and read a model's integers themselves.

Where the toolkit writes them is not documented, only how the name of the file ends.
"""

import glob
import os
import shutil
from typing import Any, List

from legacy.files import Place

DOCUMENT = "quant_param.yml"


def export(rknn: Any, artifact: str, place: Place) -> List[str]:
    """Leave the parameters of the quantized model in `artifact` beside it; the file's name."""
    code = rknn.export_rknn_quant_params(model=artifact)
    if code != 0:
        raise RuntimeError("export_rknn_quant_params returned %s" % code)
    folders = map(glob.escape, (place.scratch, place.out))
    found = [path for folder in folders for path in glob.glob(os.path.join(folder, "*_" + DOCUMENT))]
    if len(found) != 1:
        raise RuntimeError("export_rknn_quant_params left %d files" % len(found))
    shutil.move(found[0], os.path.join(place.out, DOCUMENT))
    return [DOCUMENT]
