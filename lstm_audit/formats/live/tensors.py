"""One live tensor of torch or numpy: its bytes where they lie in memory.

Comes in: a tensor. Goes out: a `Tensor` over its storage, or the reason why it has no bytes.
Promise: no code of the tensor's own class runs, and its version counter stays.
"""

import sys
from collections.abc import Callable
from typing import Any

from ...errors import MalformedFile, Skipped
from ...raw.dtypes import DTYPES, DType
from ...raw.memory import MemorySource, open_memory
from ...raw.span import span_all, span_of
from ...raw.tensor import MAX_DIMS, Tensor, strides_of, view
from .gathered import Gathered, library_of


class _NoDataError(ValueError):
    """A tensor without bytes that could be read: the reason as in `Skipped`, and the sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def add_tensor(
    got: Gathered, name: str, value: Any, convert: Callable[[Gathered, Any], Tensor]
) -> None:
    """One named tensor. Without bytes it stays as a shape, so that its module is not taken for one
    without a bias.
    """
    if name in got.tensors:
        raise MalformedFile(f"two tensors of the object are called {name!r}", kind="ambiguous")
    shape = _shape(value)
    if shape is not None and len(shape) > MAX_DIMS:
        return
    try:
        got.tensors[name] = convert(got, value)
    except _NoDataError as error:
        if shape is not None:
            dtype = DType(f"{_dtype_name(value)} without readable data", 1)
            got.tensors[name] = Tensor(dtype, shape, strides_of(shape), span_of(b""))
        # of a matrix the shape is enough: only vectors, and what has no shape, are missed
        if shape is None or sum(size != 1 for size in shape) <= 1:
            said = f", shape {shape}" if shape else ""
            got.skipped.append(Skipped(name, error.reason, f"{name}: {error.detail}{said}"))


def _shape(value: Any) -> tuple[int, ...] | None:
    """None while a lazy parameter has none, and for nested and symbolic ones."""
    try:
        shape = tuple(value.shape)
    except RuntimeError:
        return None
    return shape if all(isinstance(size, int) for size in shape) else None


def _dtype_name(value: Any) -> str:
    return str(getattr(value.dtype, "name", value.dtype)).removeprefix("torch.")


def _look_up_dtype(value: Any) -> DType:
    name = _dtype_name(value)
    if name not in DTYPES:
        raise _NoDataError("unsupported-dtype", f"its dtype is {name}")
    return DTYPES[name]


# Two tensors on one storage must be known as aliases: the key of a storage is its device, address
# and size. Empty storages all have address 0, so these go by their own identity.
def torch_tensor(got: Gathered, tensor: Any) -> Tensor:
    """A strided view of the storage as it lies in memory, on whichever device."""
    _refuse_unreadable(tensor)
    dtype = _look_up_dtype(tensor)
    try:
        storage = tensor.untyped_storage()
        key = (str(storage.device), storage.data_ptr() or id(tensor), storage.nbytes())
    except (
        RuntimeError
    ) as error:  # also NotImplementedError: functorch, XLA and other tensors without a storage
        raise _NoDataError(
            "missing-data", f"torch gives no access to its storage ({type(error).__name__})"
        ) from None
    source = open_memory(storage.nbytes(), _fetch_torch(storage), got.budget)
    source = got.sources.setdefault(key, source)
    shape, strides, big = tuple(tensor.shape), tuple(tensor.stride()), sys.byteorder == "big"
    return _view(dtype, shape, strides, source, tensor.storage_offset(), big, tensor.is_neg())


# The tests are in the order in which asking is safe: a lazy parameter has no shape, a subclass with
# its own dispatch may run code on any access, and only then may layout be asked.
def _refuse_unreadable(tensor: Any) -> None:
    """Tensors that are only promises of data, or keep it in another form than rows of numbers."""
    torch, own = library_of("torch"), type(tensor)
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise _NoDataError("missing-data", "a lazy parameter that no input has given a shape yet")
    if own.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise _NoDataError("missing-data", f"a {own.__name__} holds no bytes of its own")
    if tensor.is_nested or tensor.layout is not torch.strided:
        raise _NoDataError(
            "unsupported-dtype", f"its layout is {'nested' if tensor.is_nested else tensor.layout}"
        )
    if tensor.is_meta:
        raise _NoDataError("missing-data", "a tensor on the meta device has no data")


def _fetch_torch(storage: Any) -> Callable[[int, int], bytes]:
    """Reads by a uint8 view of its own: the tensor, its graph and its version counter are not
    touched.
    """

    def fetch(at: int, n: int) -> bytes:
        from ctypes import string_at  # 3 ms, and foreign memory, for live objects alone

        torch = library_of("torch")
        part = (
            torch.empty(0, dtype=torch.uint8, device=storage.device)
            .set_(storage, at, (n,), (1,))
            .cpu()
        )
        return string_at(part.data_ptr(), n)

    return fetch


def numpy_tensor(got: Gathered, array: Any) -> Tensor:
    """A view of the array's memory; a copy of it where the strides run backwards or between
    elements.
    """
    dtype = _look_up_dtype(array)
    if any(step < 0 or step % array.itemsize for step in array.strides):
        array = array.copy(order="C")
    shape, strides = tuple(array.shape), tuple(step // array.itemsize for step in array.strides)
    reach = (
        0
        if 0 in shape
        else 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    )
    address = array.__array_interface__["data"][0]
    source = open_memory(reach * dtype.itemsize, _fetch_numpy(array, address), got.budget)
    source = got.sources.setdefault(("numpy", address, source.size), source)
    order = array.dtype.byteorder
    return _view(
        dtype,
        shape,
        strides,
        source,
        0,
        order == ">" or (order == "=" and sys.byteorder == "big"),
        False,
    )


def _fetch_numpy(array: Any, address: int) -> Callable[[int, int], bytes]:
    """The closure keeps `array`, and so its memory, alive."""

    def fetch(at: int, n: int, owner: Any = array) -> bytes:
        from ctypes import string_at  # 3 ms, and foreign memory, for live objects alone

        return string_at(address + at, n)

    return fetch


def _view(
    dtype: DType,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    source: MemorySource,
    offset: int,
    big_endian: bool,
    negated: bool,
) -> Tensor:
    try:
        return view(
            dtype, shape, strides, span_all(source), offset, big_endian=big_endian, negated=negated
        )
    except MalformedFile:
        raise _NoDataError(
            "missing-data", "its storage was freed, or is held by another process (FSDP)"
        ) from None
