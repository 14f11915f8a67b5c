"""Operators of a graph that make numbers: constants, sums, products, and what is calculated.

Comes in: a `NodeCall`, one output of a node with the values of its inputs. Goes out: a value, or
None. Promise: sums stay sums of cells; what is calculated is a tensor without a place in the file,
judged and never patched; a product of something unknown reads no matrix.
"""

from collections.abc import Callable, Mapping
from math import prod

from ..formats import Constant
from .known import MAX_STEPS, MAX_TERMS, Known, KnownTensor, read_numbers_of
from .node_call import NodeCall, NodeRule


def _constant(call: NodeCall) -> Known:
    """Constant: one attribute, under one of several names."""
    for name, given in call.node.attributes.items():
        if isinstance(given, Constant):
            named = (
                given
                if given.name
                else given._replace(name=call.node.outs[0] if call.node.outs else "")
            )
            return call.graph.store(named)
        if isinstance(given, int | float):
            return call.graph.compute((), (float(given),))
        if not isinstance(given, str) and name in ("value_floats", "value_ints"):
            return call.graph.compute(
                (len(given),), [float(x) for x in given if not isinstance(x, str)]
            )
    return None


# The heart of "x = 0, h = 0": a matrix product of something unknown contributes nothing but its
# bias, because what is unknown is either x, h or a function of them that is 0 there. Where the
# input is known not to be 0 the product would have to be computed: that is not done, and the value
# is unknown.
def _product(call: NodeCall) -> Known:
    """MatMul(x, W) and Gemm(x, W, b) of an unknown x, or of zeros: the bias, or nothing; W is never
    read.
    """
    node, x, bias = call.node, call.value(0), call.value(2)
    biased = len(node.ins) > 2 and bool(node.ins[2])
    if x is not None and any(call.graph.numbers(x)):
        return None
    if biased:
        return None if bias is None or node.attributes.get("beta", 1.0) != 1.0 else bias
    shape = call.graph.shape(call.scope, node.ins[1]) if len(node.ins) > 1 else None
    if not shape:
        return None
    width = shape[-2 if node.attributes.get("transB") and len(shape) > 1 else -1]
    return KnownTensor((width,), ())


# Exporters compute sizes of slices from the shape of an input (Shape, Gather, Div by 4): known
# sizes are numbers without a place, like everything that is computed.
def _shape(call: NodeCall) -> Known:
    """Of a known tensor, or of an input of the graph whose shape is declared."""
    value = call.value(0)
    shape = (
        value.shape
        if value is not None
        else call.graph.shape(call.scope, call.node.ins[0])
        if call.node.ins
        else None
    )
    if shape is None:
        return None
    start, end = call.node.attributes.get("start", 0), call.node.attributes.get("end")
    part = shape[start if isinstance(start, int) else 0 : end if isinstance(end, int) else None]
    return call.graph.compute((len(part),), [float(d) for d in part])


def _constant_of_shape(call: NodeCall) -> Known:
    shape, given = call.whole("", 0), call.node.attributes.get("value")
    if shape is None or any(d < 0 for d in shape) or prod(shape) > MAX_STEPS:
        return None
    filled = read_numbers_of(given) if isinstance(given, Constant) else (0.0,)
    return call.graph.compute(tuple(shape), [filled[0] if filled else 0.0] * prod(shape))


# Broadcasting of two known values. Only repetition in whole is supported: in cells a repeated value
# is the same cell again, so patching one would change them all, as in the real model.
def _fit(call: NodeCall, x: KnownTensor, y: KnownTensor) -> tuple[KnownTensor, KnownTensor] | None:
    """Both in the shape of the larger one; only a scalar, or what equals its last axes, can be
    repeated.
    """
    if x.size < y.size:
        fitted = _fit(call, y, x)
        return None if fitted is None else (fitted[1], fitted[0])
    core = list(y.shape)
    while core and core[0] == 1:
        core.pop(0)
    if y.size != 1 and tuple(core) != x.shape[len(x.shape) - len(core) :]:
        return None
    if not y.size:
        return None
    times = x.size // y.size
    if times > 1:
        call.graph.spend(x.size * max(1, len(y.terms)))
    terms = y.terms if times == 1 else tuple([*term] * times for term in y.terms)
    shape = x.shape if len(x.shape) >= len(y.shape) else y.shape
    return x._replace(shape=shape), KnownTensor(shape, terms)


# Two summands stay two terms, each with its bytes; only beyond MAX_TERMS is the sum computed, and
# then its bytes are lost for the patcher, not its number for the audit.
def _add(call: NodeCall) -> Known:
    """Sums stay sums; an element that is added to itself is calculated."""
    return None if len(call.ins) > 2 else _sum(call)


def _sum(call: NodeCall) -> Known:
    """All inputs added, one after the other: ONNX's Sum takes any number of them."""
    total = call.value(0)
    for number in range(1, len(call.ins)):
        value = call.value(number)
        pair = None if total is None or value is None else _fit(call, total, value)
        if pair is None:
            return None
        total = _join(call, *pair)
    return total


def _join(call: NodeCall, x: KnownTensor, y: KnownTensor) -> KnownTensor | None:
    terms = x.terms + y.terms
    if len(terms) > MAX_TERMS:
        return call.graph.compute(x.shape, call.graph.numbers(KnownTensor(x.shape, terms)))
    return KnownTensor(x.shape, terms)


def _pair(call: NodeCall) -> tuple[KnownTensor, KnownTensor] | None:
    x, y = call.value(0), call.value(1)
    if x is None or y is None or len(call.ins) > 2:
        return None
    return _fit(call, x, y)


def _arithmetic(how: Callable[[float, float], float]) -> NodeRule:
    def calculate(call: NodeCall) -> Known:
        pair = _pair(call)
        if pair is None:
            return None
        x, y = (call.graph.numbers(value) for value in pair)
        try:
            return call.graph.compute(pair[0].shape, [how(a, b) for a, b in zip(x, y, strict=True)])
        except (OverflowError, ZeroDivisionError):
            return None

    return calculate


# Quantised biases (int8 with a scale) are computed values: they have no single byte to patch,
# except where float16 is only widened, which `Widen` handles as the same cells.
def _dequantize(call: NodeCall) -> Known:
    """(x - zero point) * scale; what is only widened from half is the same cells."""
    x, scale, zero = call.value(0), call.value(1), call.value(2)
    if x is None or scale is None:
        return None
    if len(call.node.ins) > 2 and call.node.ins[2] and zero is None:
        return None
    factors, zeros = call.graph.numbers(scale), call.graph.numbers(zero) if zero else [0.0]
    if len(factors) != 1 and len(factors) != x.size:
        return None
    numbers = call.graph.numbers(x)
    each = zip(
        numbers,
        factors * (x.size // len(factors)),
        zeros * (x.size // max(1, len(zeros))),
        strict=False,
    )
    return call.graph.compute(x.shape, [(a - z) * s for a, s, z in each])


SUMS: Mapping[str, NodeRule] = {
    "Constant": _constant,
    "MatMul": _product,
    "Gemm": _product,
    "Shape": _shape,
    "ConstantOfShape": _constant_of_shape,
    "Add": _add,
    "Sum": _sum,
    "Sub": _arithmetic(lambda a, b: a - b),
    "Mul": _arithmetic(lambda a, b: a * b),
    "Div": _arithmetic(lambda a, b: a / b),
    "DequantizeLinear": _dequantize,
}
