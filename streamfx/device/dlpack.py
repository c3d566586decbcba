"""DLPack without a tensor library: memory that is lent to others, and memory borrowed from them.

The structures and the two names of the capsule are those of DLPack 0.8 (`DLManagedTensor`, as in
https://dmlc.github.io/dlpack/latest/c_api.html and python_spec.html), which PyAV speaks.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections.abc import Callable
from typing import Any

from streamfx.errors import StreamFXError

CPU, CUDA = 1, 2  # DLDeviceType
_UINT = 1  # DLDataTypeCode
_NEW, _USED = b"dltensor", b"used_dltensor"


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    pass


_DELETER = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = (
    ("tensor", _Tensor),
    ("context", ctypes.c_void_p),
    ("deleter", _DELETER),
)


def _python(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_DESTRUCTOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new = _python("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _DESTRUCTOR)
_is = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_pointer = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_rename = _python("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
# The same, of a capsule that is going: no reference may be taken to it any more.
_is_going = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer_going = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)

_lent: dict[int, tuple[object, ...]] = {}  # what consumers hold, by number
_numbers = itertools.count(1)


class Lent:
    """Bytes in memory that DLPack's consumers may hold, as long as they like.

    Args:
        address: of the first byte.
        shape, strides: in bytes, for elements are bytes.
        device: (DLPack's device type, device number).
        hold: called for each capsule; what it gives is called once its consumer lets go, by
            whatever thread that is.
    """

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        device: tuple[int, int],
        hold: Callable[[], Callable[[], object]],
    ) -> None:
        self._address = address
        self._shape = shape
        self._strides = strides
        self._device = device
        self._hold = hold

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        """A capsule; its consumer has been told by other means that the bytes are ready."""
        rank = len(self._shape)
        shape = (ctypes.c_int64 * rank)(*self._shape)
        strides = (ctypes.c_int64 * rank)(*self._strides)
        managed = _Managed(
            _Tensor(
                self._address,
                *self._device,
                rank,
                _UINT,
                8,
                1,
                ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64)),
                ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64)),
                0,
            ),
            next(_numbers),
            _delete,
        )
        _lent[int(managed.context)] = (managed, shape, strides, self._hold())
        return _new(ctypes.addressof(managed), _NEW, _destroy)


def _let_go(managed: Any) -> None:
    _, _, _, release = _lent.pop(int(managed.contents.context))
    release()  # type: ignore[operator]


def _forget(capsule: int) -> None:
    if _is_going(capsule, _NEW):  # nobody has taken it
        managed = _Managed.from_address(_pointer_going(capsule, _NEW))
        managed.deleter(ctypes.byref(managed))


_delete, _destroy = _DELETER(_let_go), _DESTRUCTOR(_forget)


class Borrowed:
    """Bytes that a producer lent: `release` gives them back, and so does forgetting this.

    Args:
        producer: has `__dlpack__`.

    Attributes:
        address, shape, strides: as in `Lent`.
        device: (DLPack's device type, device number).

    Raises:
        StreamFXError: the producer lends nothing, or other things than bytes.
    """

    def __init__(self, producer: Any) -> None:
        try:
            self.device: tuple[int, int] = tuple(map(int, producer.__dlpack_device__()))  # type: ignore[assignment]
            capsule = producer.__dlpack__()
        except (AttributeError, TypeError, NotImplementedError, BufferError) as error:
            raise StreamFXError(f"the decoder lends no memory by DLPack: {error}") from error
        if not _is(capsule, _NEW):
            raise StreamFXError("the decoder's DLPack capsule has been used already")
        managed = _Managed.from_address(_pointer(capsule, _NEW))
        tensor = managed.tensor
        rank = tensor.ndim
        self.address = int(tensor.data or 0) + tensor.byte_offset
        self.shape = tuple(tensor.shape[:rank])
        self.strides = tuple(tensor.strides[:rank]) if tensor.strides else _dense(self.shape)
        if (tensor.code, tensor.bits, tensor.lanes) != (_UINT, 8, 1):
            raise StreamFXError(f"a plane has {tensor.bits} bits; frames on the GPU have 8")
        _rename(capsule, _USED)  # from here on it is ours to give back
        self.release = weakref.finalize(self, _give_back, managed)
        self.release.atexit = False


def _give_back(managed: Any) -> None:
    if managed.deleter:
        managed.deleter(ctypes.byref(managed))


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for length in reversed(shape[1:]):
        strides.insert(0, strides[0] * length)
    return tuple(strides)
