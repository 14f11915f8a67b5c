"""dtype and shape over a span; `Block`: the part of a tensor that a gate owns.

Comes in: a span and a header's claims about it. Goes out: numbers as Python floats, and for the
patcher the runs of bytes they lie in. Promise: the claims are checked against the span before a
byte is read.
"""

from collections.abc import Sequence

from ..errors import MalformedFile
from ..tuples import NamedTuple
from .dtypes import DType
from .span import Span
from .words import show

MAX_DIMS = 8  # torch allows 64; no weight of a recurrence has more than 5 (a 3-D convolution)
MAX_GATHER = (
    1 << 20
)  # bytes that a strided bias may spread over before it is read element by element


class Tensor(NamedTuple):
    """A strided view of stored elements.

    `span` runs from the first byte of the first element to the last byte of the last; `strides` are
    in elements and never negative. `big_endian` and `negated` are how the container says the bytes
    must be read.
    """

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    span: Span
    big_endian: bool = False
    negated: bool = False

    @property
    def elements(self) -> int:
        """How many elements the view shows (an expanded view shows one element many times)."""
        total = 1
        for size in self.shape:
            total *= size
        return total

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two names of one and the same stored view."""
        return id(self.span.source), self.span.start, self.dtype.name, self.shape, self.strides

    def row(self, index: int) -> "Tensor":
        """The sub-tensor at `index` of the first axis."""
        return view(
            self.dtype, self.shape[1:], self.strides[1:], self.span, index * self.strides[0],
            big_endian=self.big_endian, negated=self.negated,
        )  # fmt: skip


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor in C order."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def view(
    dtype: DType,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    storage: Span,
    offset: int = 0,
    *,
    big_endian: bool = False,
    negated: bool = False,
) -> Tensor:
    """A tensor over a storage, after every number of the claim was checked.

    `offset` and `strides` are in elements. Raises `MalformedFile` when a number is no natural
    number or the view reaches beyond the storage.
    """
    reach = _extent(shape, strides, offset, storage.at) * dtype.itemsize
    first = offset * dtype.itemsize
    return Tensor(dtype, shape, strides, storage[first : first + reach], big_endian, negated)


def _extent(shape: tuple[int, ...], strides: tuple[int, ...], offset: int, at: int | None) -> int:
    """Elements from a view's first to its last, 0 when it has none."""
    possible = len(shape) == len(strides) <= MAX_DIMS and type(offset) is int and offset >= 0
    reach = 1
    for size, step in zip(shape, strides, strict=True) if possible else ():
        if type(size) is not int or type(step) is not int or size < 0 or step < 0:
            possible = False
            break
        reach += (size - 1) * step
    if not possible:
        raise MalformedFile(
            f"a tensor claims shape {show(shape)}, strides {show(strides)}, offset {show(offset)}",
            at,
        )
    return 0 if 0 in shape else reach


def contiguous(dtype: DType, shape: tuple[int, ...], span: Span) -> Tensor:
    """A tensor that fills a span exactly, in C order; raises `MalformedFile` when the sizes
    disagree, or are none.
    """
    possible = len(shape) <= MAX_DIMS and all(type(size) is int and size >= 0 for size in shape)
    tensor = view(dtype, shape, strides_of(shape) if possible else (), span)
    if tensor.span.size != span.size:
        message = (
            f"{dtype.name} of shape {show(shape)} takes {tensor.span.size} bytes, but "
            f"{span.size} are stored"
        )
        raise MalformedFile(message, span.at)
    return tensor


def numpy_array(
    dtype: DType, shape: tuple[int, ...], span: Span, fortran: bool, big_endian: bool
) -> Tensor:
    """An array that fills a span exactly, in C order or in Fortran's."""
    strides = contiguous(dtype, shape, span).strides
    if fortran:
        strides = tuple(reversed(strides_of(tuple(reversed(shape)))))
    return view(dtype, shape, strides, span, big_endian=big_endian)


class Block(NamedTuple):
    """Elements `start:stop:step` of a tensor along `axis`; all its other axes have size 1.

    With `start = H, stop = 2H` it is the forget gate of a torch bias; with `start = 2, step = 4` an
    interleaved one.
    """

    tensor: Tensor
    axis: int
    start: int
    stop: int
    step: int = 1

    @property
    def elements(self) -> int:
        """How many elements the gate owns."""
        _, _, start, stop, step = self
        return len(range(start, stop, step))

    @property
    def stride(self) -> int:
        """Elements of the storage from one element of the block to the next."""
        return self.tensor.strides[self.axis] * self.step

    @property
    def place(self) -> tuple[int, int]:
        """Where the first byte lies, the source with it: the same for two names of one block."""
        tensor, axis, start, _, _ = self  # by place: each name asked for costs as much as all
        dtype, _, strides, span, _, _ = tensor
        at = start * strides[axis] * dtype.itemsize
        if not span.source.placed and self.elements:
            (first,) = span[at : at + dtype.itemsize].pieces
            return id(first.source), first.start
        return id(span.source), span.start + at

    @property
    def span(self) -> Span:
        """From the block's first byte to its last; it holds foreign bytes in between when `stride`
        is not 1.
        """
        tensor, axis, start, stop, own_step = self
        dtype, _, strides, span, _, _ = tensor
        size, step, elements = dtype.itemsize, strides[axis], len(range(start, stop, own_step))
        first, reach = start * step, (elements - 1) * step * own_step + 1 if elements else 0
        return span[first * size : (first + reach) * size]

    def runs(self) -> list[Span]:
        """The byte ranges that hold the block and nothing else, in the block's order."""
        span, size = self.span, self.tensor.dtype.itemsize
        if self.stride == 1 or self.elements == 1:
            return span.pieces
        step = self.stride * size
        return [
            piece for k in range(self.elements) for piece in span[k * step : k * step + size].pieces
        ]


def read_block(block: Block) -> list[float]:
    """The block's values as floats; the dtype must be decodable."""
    return list(read_numbers(block))


def read_numbers(block: Block) -> Sequence[float]:
    """A block's numbers, packed where the dtype is one of C's: for who looks at each once."""
    raw = _gather(block)
    dtype, _, _, span, big_endian, negated = block.tensor
    name, size, decode, _ = dtype
    if big_endian and size > 1:
        raw = swap_bytes(raw, size)
    if decode is None:
        raise MalformedFile(f"{name} values are not plain floats", span.at, "unsupported")
    values = decode(raw)
    return [-v for v in values] if negated else values


def _gather(block: Block) -> bytes:
    """The block's bytes without what lies between; wide strides are read run by run."""
    span = block.tensor.span
    if block.elements * block.tensor.dtype.itemsize == span.size:  # all there is: most biases
        return span.read()
    if block.stride == 1 or block.elements <= 1:
        return block.span.read()
    if block.stride == 0:
        return block.runs()[0].read() * block.elements
    if block.span.size > MAX_GATHER:
        return b"".join(run.read() for run in block.runs())
    raw, size, step = (
        block.span.read(),
        block.tensor.dtype.itemsize,
        block.stride * block.tensor.dtype.itemsize,
    )
    return b"".join(raw[k : k + size] for k in range(0, len(raw), step))


def swap_bytes(raw: bytes, size: int) -> bytes:
    """Each element of `size` bytes reversed."""
    swapped = bytearray(len(raw))
    for k in range(size):
        swapped[k::size] = raw[size - 1 - k :: size]
    return bytes(swapped)


def whole_block(tensor: Tensor) -> Block:
    """All elements of a tensor that has one axis longer than 1; raises `MalformedFile` for a true
    matrix.
    """
    shape = tensor.shape
    if len(shape) == 1:
        return Block(tensor, 0, 0, shape[0])
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) > 1:
        raise MalformedFile(
            f"a bias has shape {show(tensor.shape)}; one long axis was expected", tensor.span.at
        )
    if not tensor.shape:
        tensor = tensor._replace(shape=(1,), strides=(1,))
    axis = long[0] if long else 0
    return Block(tensor, axis, 0, tensor.shape[axis])
