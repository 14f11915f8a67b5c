"""What is said of a bias that has no second half: by numbers alone, and of real files of Keras, flax
and JAX, fresh and trained (those need their libraries: the extra `references`).
"""

import math
import random
from array import array
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.lstm.forensics.bias import float32
from lstm_audit.lstm.forensics.schemes import family
from lstm_audit.lstm.forensics.single import identify_single

F = 1
SIZES = (4, 8, 16, 32, 50, 200)


def constants(i: float, f: float, g: float, o: float, size: int = 8) -> list[list[float]]:
    return [[value] * size for value in (i, f, g, o)]


def random32(count: int, bound: float, seed: int, bits: int = 24) -> list[float]:
    """Draws in float32 as u·2k − k, where u has so many bits."""
    die = random.Random(seed)
    k = float32(bound)
    us = [die.getrandbits(bits) / 2**bits for _ in range(count)]
    return [float32(float32(u * 2 * k) - k) for u in us]


def cut(values: list[float], size: int) -> list[list[float]]:
    return [values[n * size : (n + 1) * size] for n in range(4)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize(
    ("gates", "scheme"),
    [
        (constants(0, 1, 0, 0), "constant(1)"),  # Keras's unit_forget_bias
        (constants(0, 0, 0, 0), "zeros"),
        (constants(0, 3, 0, 0), "constant(3)"),
        (constants(0, -1, 0, 0), "constant(-1)"),
        (constants(0, 0, 1, 0), "wrong-gate(g)"),
        (constants(-1, 1, 0, 0), "constant(1)"),
    ],
)
def test_constants_beside_a_gate_of_zeros_are_proven(gates, scheme, dtype):
    init = identify_single(gates, dtype)
    proven = ("fresh?", "high") if dtype == "float16" else ("fresh", "certain")
    assert (init.scheme, init.state, init.confidence) == (scheme, *proven)


def test_constants_everywhere_are_only_likely():
    init = identify_single(constants(1, 1, 1, 1), "float32")
    assert (init.scheme, init.state, init.confidence) == ("all-ones", "fresh?", "medium")
    moved = identify_single(constants(0.99, 0.99, 0.99, 0.98765), "float32")
    assert (moved.scheme, moved.state) == ("unknown", "undetermined")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [23, 24])
def test_draws_from_the_default_bound_lie_on_their_lattice(size, bits):
    named = []
    for seed in range(20):
        init = identify_single(
            cut(random32(4 * size, 1 / math.sqrt(size), seed, bits), size), "float32"
        )
        named.append((init.scheme, init.state))
    drawn = drawn_at(size)
    assert set(named) <= {*drawn, ("unknown", "undetermined")}
    # A bound of a power of two takes no coarser grid: 23 bits there may be fixed point.
    told = not (bits == 23 and math.log2(size) % 2 == 0)
    assert not told or sum(map(named.count, drawn)) >= {4: 0, 8: 10}.get(size, 19)
    assert size < 200 or set(named) <= {drawn[-1], ("unknown", "undetermined")}


def drawn_at(size):
    """Where 1/k is a whole number, a step of exactly 2^-n ends on the lattice again: no proof. Nor
    is it one of two roundings where few values tell.
    """
    square = math.isqrt(size) ** 2 == size
    return [("pytorch-default", state) for state in ("fresh?", "fresh")[: 1 if square else 2]]


@pytest.mark.parametrize("size", [200, 500])
@pytest.mark.parametrize("n", range(8, 22))
def test_draws_of_two_roundings_that_stepped_are_not_fresh(size, n):
    """By 2^-n, as sign descent does: v + k is a float32 still, but not always a drawn one."""
    die = random.Random(n)
    values = random32(4 * size, 1 / math.sqrt(size), n)
    assert identify_single(cut(values, size), "float32").state == "fresh"
    values = [float32(v + die.choice((-1, 1)) * 2.0**-n) for v in values]
    assert identify_single(cut(values, size), "float32").state != "fresh"


@pytest.mark.parametrize("size", SIZES)
def test_draws_that_took_a_step_are_none(size):
    for seed in range(100):
        die = random.Random(seed)
        for step in (1e-6, 1e-4, 1e-2):
            values = random32(4 * size, 1 / math.sqrt(size), seed)
            moved = [float32(v + die.uniform(-step, step)) for v in values]
            assert identify_single(cut(moved, size), "float32").scheme == "unknown"


@pytest.mark.parametrize("size", SIZES)
def test_draws_in_float64_are_not_told(size):
    """numpy's usual ones: cast down they lie on no lattice."""
    die = random.Random(0)
    for _ in range(50):
        values = array("f", [die.uniform(-1, 1) / math.sqrt(size) for _ in range(4 * size)])
        init = identify_single(cut(values.tolist(), size), "float32")
        assert (init.scheme, init.state) == ("unknown", "undetermined")


def test_a_number_beside_draws():
    for bound, state in ((0.05, "fresh?"), (1 / math.sqrt(32), "fresh?"), (0.08, "fresh?")):
        gates = cut(random32(128, bound, 3), 32)
        gates[F] = [1.0] * 32
        init = identify_single(gates, "float32")
        assert (init.scheme, init.state) == ("constant(1)", state)


def test_a_forget_gate_without_gradient():
    """Sequences of one step: i, g and o move, f holds its 1."""
    die = random.Random(0)
    gates = [[float32(die.gauss(0, 0.1)) for _ in range(16)] for _ in range(4)]
    gates[F] = [1.0] * 16
    init = identify_single(gates, "float32")
    assert (init.scheme, init.state, init.confidence) == ("constant(1)", "undetermined", "medium")
    gates[F] = [0.05] * 16  # a clamp's, perhaps
    assert identify_single(gates, "float32").scheme == "unknown"


def test_chrono_beside_zeros():
    die, size = random.Random(0), 64
    forget = [float32(math.log(die.uniform(1, 783))) for _ in range(size)]
    zero = [0.0] * size
    init = identify_single([[-v for v in forget], forget, zero, zero], "float32")
    assert (init.scheme, init.state) == ("chrono", "fresh")
    assert identify_single([zero, forget, zero, zero], "float32").scheme == "chrono"


def test_one_round_bound_for_everything():
    init = identify_single(cut(random32(128, 0.05, 1), 32), "float32")
    assert (init.scheme, init.state) == ("unknown", "fresh?")


def test_what_cannot_be_asked():
    assert identify_single([[math.nan] * 4] * 4, "float32").scheme == "unknown"
    assert identify_single([[0.0]] * 4, "float32").scheme == "unknown"


# --- real files -----------------------------------------------------------------------------------


def keras_model(keras, size: int, **options):
    return keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(size, **options), keras.layers.Dense(1)]
    )


def init_of_file(path: Path):
    (row,) = lstm_audit.audit(path).rows
    assert row.init is not None
    return row.init


@pytest.mark.parametrize("size", [4, 16, 50])
@pytest.mark.parametrize(
    ("options", "scheme"),
    [({}, "constant(1)"), ({"unit_forget_bias": False}, "zeros"),
     ({"bias_initializer": "ones", "unit_forget_bias": False}, "all-ones"),
     ({"bias_initializer": "random_uniform"}, "constant(1)")],
)  # fmt: skip
def test_keras_files_fresh_and_trained(tmp_path: Path, size, options, scheme):
    keras = pytest.importorskip("keras", reason="references: the extra has Keras")
    numpy = pytest.importorskip("numpy")
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = keras_model(keras, size, **options)
        path = tmp_path / f"{seed}.weights.h5"
        model.save_weights(path)
        init = init_of_file(path)
        assert init.scheme == scheme
        assert init.state in ("fresh", "fresh?", "undetermined")
        optimizer = keras.optimizers.Adam(1e-4, weight_decay=(0.01 if seed else None))
        model.compile(optimizer, "mse")
        x = numpy.random.default_rng(seed).normal(size=(32, 5, 3)).astype("float32")
        model.fit(x, x[:, 0, :1], epochs=1, batch_size=32, verbose=0)
        model.save_weights(path)
        assert init_of_file(path)[:3] == ("unknown", None, "undetermined"), init_of_file(path)


def test_a_keras_layer_that_was_frozen_is_fresh(tmp_path: Path):
    keras = pytest.importorskip("keras", reason="references: the extra has Keras")
    numpy = pytest.importorskip("numpy")
    keras.utils.set_random_seed(0)
    model = keras_model(keras, 8)
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    x = numpy.ones((8, 5, 3), "float32")
    model.fit(x, x[:, 0, :1], epochs=2, verbose=0)
    model.save(tmp_path / "frozen.keras")
    init = init_of_file(tmp_path / "frozen.keras")
    assert (init.scheme, init.state) == ("constant(1)", "fresh")


@pytest.mark.parametrize("size", [4, 16, 50])
def test_flax_files_fresh_and_trained(tmp_path: Path, size):
    jax = pytest.importorskip("jax", reason="references: the extra has JAX")
    nn = pytest.importorskip("flax.linen", reason="references: the extra has flax")
    serialization = pytest.importorskip("flax.serialization")
    cell = nn.OptimizedLSTMCell(size)
    x = jax.random.normal(jax.random.key(1), (4, 3))
    carry = cell.initialize_carry(jax.random.key(0), x.shape)
    params = cell.init(jax.random.key(0), carry, x)

    def loss(params):
        state, total = carry, 0.0
        for _ in range(3):
            state, out = cell.apply(params, state, x)
            total = total + (out - 1.0) ** 2
        return total.mean()

    path = tmp_path / "cell.msgpack"
    path.write_bytes(serialization.to_bytes(params))
    init = init_of_file(path)
    assert (init.scheme, init.state, init.confidence) == ("zeros", "fresh", "certain")
    for rate in (1e-4, 0.1):
        gradient = jax.grad(loss)(params)
        moved = jax.tree.map(lambda p, g, r=rate: p - r * g, params, gradient)
        path.write_bytes(serialization.to_bytes(moved))
        assert init_of_file(path)[:3] == ("unknown", None, "undetermined")


def test_draws_of_real_jax(tmp_path: Path):
    """Equinox's cell draws its one bias from ±1/√H."""
    jax = pytest.importorskip("jax", reason="references: the extra has JAX")
    for size in (8, 24, 50, 100):
        for seed in range(10):
            k = 1 / math.sqrt(size)
            drawn = jax.random.uniform(jax.random.key(seed), (4 * size,), minval=-k, maxval=k)
            init = identify_single(cut([float(v) for v in drawn], size), "float32")
            assert (init.scheme, init.state) in (*drawn_at(size), ("unknown", "undetermined"))
            assert init.scheme == "pytorch-default" or size == 8
            moved = [float(v) for v in drawn + 1e-5 * jax.numpy.sin(jax.numpy.arange(4 * size))]
            assert family(identify_single(cut(moved, size), "float32")) == "unknown"


def test_float32_draws_of_real_numpy():
    numpy = pytest.importorskip("numpy")
    for size in (16, 50):
        for seed in range(10):
            k = numpy.float32(1 / math.sqrt(size))
            u = numpy.random.default_rng(seed).random(4 * size, dtype=numpy.float32)
            init = identify_single(cut((u * (2 * k) - k).tolist(), size), "float32")
            assert (init.scheme, init.state) in drawn_at(size)
