"""The virtual camera: a stream as a webcam of this machine."""

from streamfx.camera.output import CameraOutput, check_camera, open_camera
from streamfx.camera.sink import CameraSink

__all__ = ["CameraOutput", "CameraSink", "check_camera", "open_camera"]
