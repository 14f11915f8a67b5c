"""The table of conventions: how each framework names and lays out an LSTM's tensors. A row a
framework.

Comes in: nothing. Goes out: `CONVENTIONS`, the most specific first. Promise: gate order, axis,
number of biases and run-time offset are data that stand here; no code elsewhere knows any
framework.

A name is `MODULE` + separator + tail. The tail is a regular expression, anchored at both ends
(`bias_ih_l1` is a prefix of `bias_ih_l10` and of `bias_ih_l1_reverse`), with these groups where
they apply:

    layer     the layer's number
    tensor, form   one after the other, the key into `slots`
    cell_name one of several cells of a module, which has it in its name unless it is `usual_cell`
    way       the direction, see `backward`
    gate      the word for a gate, see `gate_words`
    odd       a layer number that runs backward when it is odd
    cell      layer * directions + direction, in one number
"""

from collections.abc import Mapping
from itertools import product

from ..tuples import NamedTuple
from ..ways import Ways

# What stands before a tail: the module's path, with the separator of torch, Keras, Paddle or
# tch-rs. It is lazy: what a tail can take (`layers.0.`, `parametrizations.`) belongs to the tail,
# at the root of a file too.
HEAD = r"(?:(?P<module>.*?)[./:|])??"

# What stands before a tail where no separator does: averaging helpers and converters join names by
# underscores, or by nothing (`model_ema.lstmbias_ih_l0`).
JOINED = r"(?P<module>.+?)_{0,2}"


# What reports call the bias of each half, after torch.
HALF_NAMES = {"ih": "bias_ih", "hh": "bias_hh"}


class Slot(NamedTuple):
    """What a tensor is to its recurrence.

    Roles: `bias` (a term of the gates' bias, belonging to `half`), `mask` and `log_scale` (factors
    of that half's bias), `recurrent` (the hidden-to-hidden weight: its shape tells the kind of cell
    and H), `input` (the input-to-hidden weight), `projection`, `marker` (its presence tells the
    convention), `inert` (known, and without effect on a gate at x=0, h=0), `refuse` (a bias that
    is stored in a form whose value only the framework can compute).

    `order` names the blocks of this one tensor, where they are not those of the whole convention.
    """

    role: str
    half: str = "b"
    order: str = ""


class Convention(NamedTuple):
    """One framework's way.

    `order` names the blocks along the gate axis; extra blocks (highway gates) stand behind them and
    are listed in `blocks`, the multiples of H that the recurrent weight may have. `gate_axis` is
    that axis of the recurrent weight. With `gate_words` each gate has tensors of its own.
    `required` are slot keys without which a group of names is not this convention's. `hint` is a
    text that some name must contain, so that most rows cost nothing; `marks` are texts of which
    every name contains one, where the hint is too weak to spare a large model's names the tail.
    `pairs`: both halves belong to it, one without the other is worth a note. `joined`: the tail is
    so telling that the module's path may be joined to it by underscores or by nothing. `beside`:
    the slots of a tensor that may stand one level above the module, which then has this name there.
    `joint`: one weight for (x, h), so that H is a quarter of its gate axis. `convolution`: the same
    with kernel axes behind the two of a matrix; `kernel_first`: weights may have them before these
    two. `interleaved`: the gates take turns along the axis. `claimed`: other layers have such names
    too, so that the row holds only where the reader claims a recurrence; all tensors of one then
    stand in one folder. `doubled`: a bias of twice the length is bias_ih and bias_hh in turn.
    `vouched`: a user declared it, for shapes of any kind. `mirror`: the second name under which the
    framework saves the same numbers; with a projection it is right for the first cell only.
    `formats`: the containers in which the names are known to mean this; elsewhere another framework
    uses them too, and so it does where a name contains `foreign`. `computed` maps a slot to the one
    that the framework computes from it: beside the first, the second is a copy of today.
    `leftovers`: what made such a cell leaves the biases of the one before in the same module.
    `proven`: other layers have such names too, and what tells is that the projection takes H units.
    `wrapped`: the row holds for the two cells of a bidirectional layer, which the reader tells, or
    for which the names of their layers' folders tell it: `ways` says how.
    `usual_cell`: the `cell_name` of a module's only cell. `mirror_reverse`: what `mirror` has for
    a cell that reads backward.
    """

    name: str
    source: str
    hint: str
    tail: str
    slots: Mapping[str, Slot]
    marks: tuple[str, ...] = ()
    order: str = "ifgo"
    blocks: tuple[int, ...] = (4,)
    gate_axis: int = 0
    gate_words: Mapping[str, str] = {}
    required: tuple[str, ...] = ()
    backward: tuple[str, ...] = ()
    offset: float = 0.0
    activation: str = "sigmoid"
    notes: tuple[str, ...] = ()
    pairs: bool = False
    joined: bool = False
    beside: Mapping[str, str] = {}
    joint: bool = False
    convolution: bool = False
    kernel_first: bool = False
    claimed: bool = False
    vouched: bool = False
    doubled: bool = False
    interleaved: bool = False
    mirror: str = ""
    formats: tuple[str, ...] = ()
    foreign: str = ""
    computed: Mapping[str, str] = {}
    leftovers: bool = False
    proven: bool = False
    wrapped: bool = False
    ways: Ways | None = None
    usual_cell: str = "lstm_cell"
    mirror_reverse: str = "_reverse"


_INERT_FORMS = ("_g", "_u", "_mask", "_scale", ".original0", ".0.base", ".0._u", ".0._v")


def _torch_slots() -> dict[str, Slot]:
    """The torch names with what weight normalisation, pruning, weight drop and ScaledLSTM do to
    them.

    Of a normalised weight only the two-dimensional part tells the shape: `_orig`, `_raw`, `_v`,
    `original`, `original1`; `_g` and `original0` are (4H, 1), and beside `_orig` spectral
    normalisation's `_v` is a vector. The rest changes the weights, which x=0 and h=0 multiply.
    """
    slots: dict[str, Slot] = {}
    for weight, form in product(("weight_ih", "weight_hh", "weight_hr"), _INERT_FORMS):
        slots[weight + form] = Slot("inert")
    for form in ("", "_raw", "_orig", "_v", ".original", ".original1"):
        slots[f"weight_hr{form}"] = Slot("projection")
        slots[f"weight_hh{form}"] = Slot("recurrent", "hh")
        slots[f"weight_ih{form}"] = Slot("input", "ih")
    for half in ("ih", "hh"):
        slots[f"bias_{half}"] = slots[f"bias_{half}_orig"] = Slot("bias", half)
        slots[f"bias_{half}_mask"] = Slot("mask", half)
        slots[f"bias_{half}_scale"] = Slot("log_scale", half)
        for form in ("_g", "_v", "_u", ".original", ".original0", ".original1"):
            slots[f"bias_{half}{form}"] = Slot("refuse", half)
    return slots


_CELL = {
    "weight_ih": Slot("input", "ih"),
    "weight_hh": Slot("recurrent", "hh"),
    "bias_ih": Slot("bias", "ih"),
    "bias_hh": Slot("bias", "hh"),
}
_HALVES = {"igates": "ih", "hgates": "hh"}
_WORDS = {"input": "i", "forget": "f", "cell": "g", "output": "o"}
_LETTERS = {"i": "i", "f": "f", "c": "g", "o": "o"}
_KERNELS = {"recurrent_kernel": Slot("recurrent"), "kernel": Slot("input"), "bias": Slot("bias")}
_LINEARITIES = {
    "state_linearity.weight": Slot("recurrent"),
    "input_linearity.weight": Slot("input"),
    "state_linearity.bias": Slot("bias", "hh"),
    "input_linearity.bias": Slot("bias", "ih"),
    "state_projection.weight": Slot("projection"),
}

_GLUON = {
    "i2h_weight": Slot("input", "ih"),
    "h2h_weight": Slot("recurrent", "hh"),
    "i2h_bias": Slot("bias", "ih"),
    "h2h_bias": Slot("bias", "hh"),
    "h2r_weight": Slot("projection"),
}
_NORMED = ("input", "transform", "forget", "output", "state")
_NUMBERED_GATES = {
    f"{tensor}{k}": Slot(("recurrent" if k % 2 else "input") if tensor == "weights" else "bias",
                         "hh" if k % 2 else "ih")
    for tensor in ("weights", "biases")
    for k in range(8)
}  # fmt: skip

_FORGET_BIAS = "forget_bias is not stored: assumed 1, the default"
_NAMED_BY_ITS_AUTHOR = (
    "its name is its author's: the gates are assumed in TensorFlow's order i, j, f, o"
)

# Where TensorFlow 1 puts a cell: bidirectional_dynamic_rnn, MultiRNNCell.
_WAY = r"(?:(?:bidirectional_rnn/)?(?P<way>fw|bw)/)"
_STACKED = r"(?:(?:multi_rnn_cell/cell_|MultiRNNCell/Cell)(?P<layer>\d{1,9})/)"
_PLACED = f"{_WAY}?{_STACKED}?"
# What stands before a cell in one of these, in dynamic_rnn or static_rnn, in dynamic_decode, in an
# AttentionWrapper.
_IN_A_SCOPE = r"(?:(?<=rnn/)|(?<=[fb]w/)|(?<=cell_\d/)|(?<=cell_\d\d/)|(?<=decoder/)|(?<=wrapper/))"
_OF_TENSORFLOW = (
    r"(?:basic_lstm_cell|lstm_cell|layer_norm_basic_lstm_cell|"
    r"(?P<cell_name>(?:basic_|layer_norm_basic_)?lstm_cell_\d+))[/.]"
)
_WORD = r"[^/.:|]+"
# A component that says that it is an LSTM, not a layer in front of one or behind it: `bi_lstm_1`,
# `EncoderLSTM`, `lstm_fw`, but neither `post_lstm` nor `lstm_out`.
_SAYS_LSTM = (
    r"(?![^/.:|]*(?i:norm|grid|phased|freq|coupled))"
    r"(?!(?i:(?:[^/.:|]*_)?(?:pre|post|after|before|to|from|over|under|no|not|skip|gru|conv)_?lstm))"
    r"(?:[A-Za-z0-9]+_)*[A-Za-z0-9]*?(?i:lstm)s?(?:_?(?:(?i:cell|layer|block|unit|core|enc(?:oder)?|"
    r"dec(?:oder)?|[fb]wd?|(?:for|back)ward|left|right)|[a-z]?\d+(?!\d)))*"
)
# Containers in which TensorFlow's variables are kept under their names.
_OF_ARRAYS = ("tf-checkpoint", "npz", "pickle", "joblib", "safetensors", "torch", "live")


def _tensorflow(
    source: str,
    hint: str,
    cell: str,
    weight: str = "kernel",
    bias: str = "bias",
    needs: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    formats: tuple[str, ...] = (),
    marks: tuple[str, ...] = (),
    proven: bool = False,
) -> Convention:
    """A cell of TensorFlow 1: one weight over x and h, the gates i, j, f, o, and forget_bias added
    at run time. `cell` is what stands before its variables; `needs` are more that it must have.
    """
    projection = "W_P_0" if weight == "W_0" else f"projection/{weight}"
    peepholes = [f"w_{gate}_diag" for gate in "fio"] + [f"W_{gate}_diag" for gate in "FIO"]
    return Convention(
        name="tensorflow",
        source=f"{source}; i, j, f, o, and forget_bias added at run time",
        hint=hint,
        tail=rf"{_PLACED}{cell}"
        rf"(?P<tensor>{'|'.join((weight, bias, projection, *peepholes))})(?::0)?",
        slots={
            weight: Slot("recurrent"),
            bias: Slot("bias"),
            projection: Slot("projection"),
            **dict.fromkeys(peepholes, Slot("inert")),
        },
        marks=marks,
        order="igfo",
        gate_axis=1,
        required=(weight, bias, *needs),
        backward=("bw",),
        offset=1.0,
        joint=True,
        notes=(_FORGET_BIAS, *notes),
        formats=formats,
        proven=proven,
    )


_VARS = {"0": Slot("input"), "1": Slot("recurrent"), "2": Slot("bias")}
_KERAS_1 = {"U": Slot("recurrent"), "W": Slot("input"), "b": Slot("bias")}

# Cells outside of a Bidirectional layer; the rows of those inside differ in their names alone.
_KERAS_NAMED = Convention(
    name="keras",
    source="keras legacy_h5_format.py, tf_keras hdf5_format.py: variables by their names",
    hint="recurrent_kernel",
    tail=r"(?:[^/]*stacked_rnn_cells[^/]*/(?P<cell_name>[^/]+)/|(?<=/)[^/]*cell(?:_\d+)?/)?"
    r"(?P<tensor>recurrent_kernel|kernel|bias)(?::\d+)?",
    slots=_KERNELS,
    gate_axis=1,
    required=("recurrent_kernel",),
    kernel_first=True,
    claimed=True,
    doubled=True,
)
_KERAS_NUMBERED = Convention(
    name="keras",
    source="keras/src/saving/saving_lib.py: variables by their number in the order of `build`",
    hint="vars/1",
    tail=r"(?:cell/cells/(?P<cell_name>[^/]+)/|(?<=/)cell/)?vars/(?P<tensor>[012])",
    slots=_VARS,
    gate_axis=1,
    required=("1",),
    kernel_first=True,
    claimed=True,
    doubled=True,
)
_KERAS_1_CELL = Convention(
    name="keras-1",
    source="Keras 1.2 keras/layers/recurrent.py LSTM.build; tf_keras hdf5_format.py reads it",
    hint="_U_f",
    tail=r"[^/]*?_(?P<tensor>[WUb])_(?P<gate>[ifco])(?::\d+)?",
    slots=_KERAS_1,
    gate_words=_LETTERS,
    gate_axis=1,
    required=("U",),
    claimed=True,
)

# Under the torch backend a model keeps all variables of its layers in one dictionary, by their
# paths: there a Bidirectional is only a folder.
_KERAS_TORCH = Convention(
    name="keras-torch",
    source="keras/src/layers/rnn/lstm.py under the torch backend "
    "(keras/src/backend/torch/layer.py)",
    hint="_torch_params.",
    tail=r"(?P<cell_name>(?:lstm_cell|gru_cell|simple_rnn_cell)(?:_\d+)?)/"
    r"(?P<tensor>recurrent_kernel|kernel|bias)",
    slots=_KERNELS,
    gate_axis=1,
    required=("recurrent_kernel",),
    notes=("recurrent_activation is not stored: assumed sigmoid, the default",),
    ways=Ways(
        "forward_",
        "backward_",
        r"(?:^|(?<=\.))(?P<way>forward|backward)_layer\.(?:cell\.)?(?=_torch_params\.)",
        "backward",
    ),
)

CONVENTIONS: tuple[Convention, ...] = (
    # a Bidirectional calls its two layers `forward_` and `backward_` + name
    _KERAS_NAMED._replace(
        tail=r"(?P<way>(?:forward|backward)_[^/]*|[^/]+(?=/(?!forward_|backward_)[^/]*"
        r"(?:cell(?:_\d+)?|stacked_rnn_cells[^/]*)/))/"
        r"(?:[^/]*stacked_rnn_cells[^/]*/(?P<cell_name>[^/]+)/|[^/]+/)?"
        r"(?P<tensor>recurrent_kernel|kernel|bias)(?::\d+)?",
        wrapped=True,
    ),
    _KERAS_NAMED,
    _KERAS_NUMBERED._replace(
        source="keras/src/saving/saving_lib.py, Bidirectional: forward_layer and backward_layer",
        tail=r"(?P<way>forward|backward)_layer/(?:cell/cells/(?P<cell_name>[^/]+)/|cell/)?"
        r"vars/(?P<tensor>[012])",
        wrapped=True,
    ),
    _KERAS_NUMBERED,
    # Keras 1.2 keras/layers/wrappers.py Bidirectional: both cells in one folder
    _KERAS_1_CELL._replace(
        tail=r"(?P<way>forward|backward)_[^/]*?_(?P<tensor>[WUb])_(?P<gate>[ifco])(?::\d+)?",
        backward=("backward",),
        wrapped=True,
    ),
    _KERAS_1_CELL,
    Convention(
        name="bilm",
        source="allenai/bilm-tf bilm/training.py dump_weights; allennlp elmo_lstm.py adds the 1",
        hint="/LSTMCell/W_0",
        tail=r"RNN_(?P<way>[01])/RNN/MultiRNNCell/Cell(?P<layer>\d{1,9})/LSTMCell/"
        r"(?P<tensor>W_0|B|W_P_0)",
        slots={"W_0": Slot("recurrent"), "B": Slot("bias"), "W_P_0": Slot("projection")},
        order="igfo",
        gate_axis=1,
        required=("W_0", "W_P_0"),
        backward=("1",),
        offset=1.0,
    ),
    Convention(
        name="clstm",
        source="tmbdev/clstm, kraken/lib/lstm.py: column 0 of a weight is its bias",
        hint=".WGF",
        tail=r"(?:(?P<way>reversed)\.\d+\.lstm\.)?W(?P<gate>GI|GF|CI|GO)"
        r"(?P<tensor>\[:,(?:0|1:)\])",
        slots={"[:,1:]": Slot("recurrent"), "[:,0]": Slot("bias")},
        gate_words={"GI": "i", "GF": "f", "CI": "g", "GO": "o"},
        required=("[:,1:]", "[:,0]"),
        backward=("reversed",),
        notes=("has peepholes, which add nothing while the memory is empty",),
    ),
    Convention(
        name="torch-quantizable",
        source="torch/ao/nn/quantizable/modules/rnn.py; quantized: "
        "torch/ao/nn/quantized/modules/rnn.py",
        hint="gates.",
        tail=r"(?:layers\.(?P<layer>\d{1,9})\.layer_(?P<way>fw|bw)\.cell\.)?(?P<tensor>[ih]gates)"
        r"(?:\.(?P<gate>input|forget|cell|output))?(?P<form>\.weight|\.bias|\._packed_params\._packed_params\.[01])",
        slots={
            **{
                f"{g}.weight": Slot("recurrent" if h == "hh" else "input", h)
                for g, h in _HALVES.items()
            },
            **{f"{g}.bias": Slot("bias", h) for g, h in _HALVES.items()},
            **{
                f"{g}._packed_params._packed_params.0": Slot(
                    "recurrent" if h == "hh" else "input", h
                )
                for g, h in _HALVES.items()
            },
            **{f"{g}._packed_params._packed_params.1": Slot("bias", h) for g, h in _HALVES.items()},
        },
        gate_words=_WORDS,
        backward=("bw",),
        pairs=True,
    ),
    Convention(
        name="torch-dynamic-quantized",
        source="torch/ao/nn/quantized/dynamic/modules/rnn.py; "
        "aten/src/ATen/native/quantized/cpu: CellParamsBase state",
        hint="_all_weight_values.",
        tail=r"_all_weight_values\.(?P<cell>\d{1,9})\.param\.4\.(?P<tensor>[01])(?P<form>\.[01])",
        slots={
            "0.0": Slot("input", "ih"),
            "1.0": Slot("recurrent", "hh"),
            "0.1": Slot("bias", "ih"),
            "1.1": Slot("bias", "hh"),
        },
        pairs=True,
        leftovers=True,
    ),
    Convention(
        name="torch-dynamic-quantized",
        source="torch/ao/nn/quantized/dynamic/modules/rnn.py LSTMCell: "
        "LinearPackedParamsBase state",
        hint="_packed_weight_hh",
        tail=r"_packed_weight_(?P<tensor>ih|hh)(?P<form>\.[01])",
        slots={
            "ih.0": Slot("input", "ih"),
            "hh.0": Slot("recurrent", "hh"),
            "ih.1": Slot("bias", "ih"),
            "hh.1": Slot("bias", "hh"),
        },
        pairs=True,
        leftovers=True,
    ),
    Convention(
        name="paddle",
        source="paddle/nn/layer/rnn.py: every parameter is saved as `{k}.cell.*` and "
        "again as `*_l{k}`",
        hint=".cell",
        tail=r"(?P<layer>\d{1,9})\.cell(?:_(?P<way>fw|bw))?\.(?P<tensor>(?:weight|bias)_(?:ih|hh)|weight_ho)",
        slots={**_CELL, "weight_ho": Slot("projection")},
        backward=("bw",),
        pairs=True,
        mirror="{tensor}_l{layer}{reverse}",
    ),
    Convention(
        name="layernorm-lstm",
        source="pytorch/benchmarks/fastrnns/custom_lstms.py; NeMo common/parts/rnn.py: at x=0, "
        "h=0 LN(0) is its beta",
        hint="layernorm_h",
        tail=r"(?:layers\.(?P<layer>\d{1,9})\.)?(?:directions\.(?P<way>[01])\.)?(?:cell\.)?"
        r"(?P<tensor>weight_ih|weight_hh|layernorm_[ihc]\.(?:weight|bias))",
        slots={
            **{f"layernorm_{k}.weight": Slot("inert") for k in "ihc"},
            "layernorm_c.bias": Slot("inert"),
            "weight_ih": Slot("input", "ih"),
            "weight_hh": Slot("recurrent", "hh"),
            "layernorm_i.bias": Slot("bias", "ih"),
            "layernorm_h.bias": Slot("bias", "hh"),
        },
        required=("layernorm_i.bias", "layernorm_h.bias", "weight_hh"),
        backward=("1",),
    ),
    Convention(
        name="torchaudio-rnnt",
        source="torchaudio/models/rnnt.py _CustomLSTM",
        hint="p2g",
        tail=r"(?P<tensor>x2g\.weight|x2g\.bias|p2g\.weight|[gc]_norm\.(?:weight|bias))",
        slots={
            **{key: Slot("inert") for key in ("g_norm.weight", "c_norm.weight", "c_norm.bias")},
            "x2g.weight": Slot("input"),
            "x2g.bias": Slot("bias"),
            "p2g.weight": Slot("recurrent"),
            "g_norm.bias": Slot("bias"),
        },
        required=("p2g.weight", "x2g.weight"),
    ),
    Convention(
        name="allennlp",
        source="allennlp/modules/augmented_lstm.py, stacked_bidirectional_lstm.py, "
        "lstm_cell_with_projection.py",
        hint="state_linearity",
        tail=r"(?:(?:(?P<way>forward|backward)_layers?[_.](?P<layer>\d{1,9})|layer_(?P<odd>\d{1,9}))\.)?(?:cell\.)?"
        r"(?P<tensor>(?:input|state)_linearity\.(?:weight|bias)|state_projection\.weight)",
        slots=_LINEARITIES,
        blocks=(4, 5, 6),
        required=("state_linearity.weight", "input_linearity.weight"),
        backward=("backward",),
    ),
    _KERAS_TORCH._replace(
        tail=rf"(?P<way>[^/.]+)/(?:[^/]*stacked_rnn_cells[^/]*/)?{_KERAS_TORCH.tail}",
        wrapped=True,
    ),
    _KERAS_TORCH,
    Convention(
        name="haste",
        source="lmnt-com/haste frameworks/pytorch/lstm.py",
        hint="recurrent_kernel",
        tail=r"(?P<tensor>recurrent_kernel|kernel|bias|gamma|gamma_h|beta_h)",
        slots={**_KERNELS, **{key: Slot("inert") for key in ("gamma", "gamma_h", "beta_h")}},
        order="igfo",
        gate_axis=1,
        required=("recurrent_kernel", "kernel"),
        formats=("torch", "pickle", "live"),
        foreign="/",
    ),
    Convention(
        name="ncps",
        source="ncps/torch/lstm.py LSTMCell.forward: sigmoid(f + 1)",
        hint="recurrent_map",
        tail=r"(?P<tensor>input_map\.weight|input_map\.bias|recurrent_map\.weight)",
        slots={
            "input_map.weight": Slot("input"),
            "input_map.bias": Slot("bias"),
            "recurrent_map.weight": Slot("recurrent"),
        },
        order="gifo",
        offset=1.0,
        required=("recurrent_map.weight", "input_map.weight"),
    ),
    Convention(
        name="mlx",
        source="mlx/nn/layers/recurrent.py LSTM",
        hint="Wh",
        tail=r"(?P<tensor>Wx|Wh|bias|bias_ih|bias_hh)",
        slots={
            "Wx": Slot("input"),
            "Wh": Slot("recurrent"),
            "bias": Slot("bias"),
            # mlx_audio chatterbox voice_encoder.py, which keeps torch's two
            "bias_ih": Slot("bias", "ih"),
            "bias_hh": Slot("bias", "hh"),
        },
        required=("Wx", "Wh"),
    ),
    Convention(
        name="burn",
        source="burn-nn lstm_module.rs, gate_controller.rs; weights are (in, out)",
        hint="_gate.hidden_transform",
        tail=r"(?:(?P<way>forward|reverse)\.)?(?P<gate>input|forget|cell|output)_gate\."
        r"(?P<tensor>input_transform|hidden_transform)(?P<form>\.weight|\.bias)",
        slots={
            "input_transform.weight": Slot("input", "ih"),
            "hidden_transform.weight": Slot("recurrent", "hh"),
            "input_transform.bias": Slot("bias", "ih"),
            "hidden_transform.bias": Slot("bias", "hh"),
        },
        gate_words=_WORDS,
        gate_axis=1,
        backward=("reverse",),
        notes=(
            "gate_activation and input_forget are not stored: assumed sigmoid and false, the "
            "defaults",
        ),
    ),
    Convention(
        name="convlstm",
        source="ndrplz/ConvLSTM_pytorch convlstm.py: one convolution over (x, h), split i, f, o, g",
        hint="cell_list.",
        tail=r"cell_list\.(?P<layer>\d{1,9})\.conv\.(?P<tensor>weight|bias)",
        slots={"weight": Slot("recurrent"), "bias": Slot("bias")},
        order="ifog",
        required=("weight",),
        convolution=True,
    ),
    Convention(
        name="convlstm-separate",
        source="automan000/Convolutional_LSTM_PyTorch convolution_lstm.py; its "
        "peepholes are not saved and start at 0",
        hint=".Wh",
        tail=r"cell(?P<layer>\d{1,9})\.W(?P<tensor>[xh])(?P<gate>[ifco])(?P<form>\.weight|\.bias)",
        slots={"x.weight": Slot("input"), "h.weight": Slot("recurrent"), "x.bias": Slot("bias")},
        gate_words=_LETTERS,
        convolution=True,
    ),
    Convention(
        name="flax",
        source="flax/linen/recurrent.py LSTMCell, OptimizedLSTMCell; flax/nnx LSTMCell (`if_`): "
        "a kernel a gate for x and for h, the bias with that of h",
        hint="hf",
        tail=r"(?P<tensor>[ih])(?P<gate>[ifgo])_?[/.](?P<form>kernel|bias)",
        slots={
            "ikernel": Slot("input"),
            "hkernel": Slot("recurrent"),
            "hbias": Slot("bias"),
            "ibias": Slot("bias", "ih"),
        },
        gate_words={gate: gate for gate in "ifgo"},
        gate_axis=1,
        required=("hkernel", "ikernel"),
    ),
    Convention(
        name="flax",
        source="flax/nnx/nn/recurrent.py OptimizedLSTMCell: one kernel for x and one for h",
        hint="dense_h",
        tail=r"dense_(?P<tensor>[ih])[/.](?P<form>kernel|bias)",
        slots={
            "ikernel": Slot("input"),
            "hkernel": Slot("recurrent"),
            "hbias": Slot("bias"),
        },
        gate_axis=1,
        required=("hkernel", "ikernel"),
    ),
    Convention(
        name="numpy",
        source="cells written out in numpy as Olah 2015, Understanding LSTM Networks, has them: "
        "a weight over (h, x) and a bias a gate",
        hint="Wf",
        tail=r"(?P<tensor>[Wb])(?:(?P<gate>[ifco])|(?P<form>y))",
        slots={
            "W": Slot("recurrent"),
            "b": Slot("bias"),
            "Wy": Slot("inert"),  # the layer that reads h
            "by": Slot("inert"),
        },
        gate_words=_LETTERS,
        required=("W", "b"),
        joint=True,
    ),
    Convention(
        name="tensorflow-layernorm",
        source="tensorflow/contrib/rnn LayerNormBasicLSTMCell: a norm a gate, LN(0) is its beta; "
        "forget_bias added at run time",
        hint="layer_norm_basic_lstm_cell/forget",
        tail=r"(?:(?:bidirectional_rnn/)?(?P<way>fw|bw)/)?"
        r"(?:multi_rnn_cell/cell_(?P<layer>\d{1,9})/)?layer_norm_basic_lstm_cell/"
        r"(?P<tensor>kernel|(?:input|transform|forget|output|state)/(?:gamma|beta))(?::0)?",
        slots={
            "kernel": Slot("recurrent"),
            "input/beta": Slot("bias", order="i"),
            "transform/beta": Slot("bias", order="g"),
            "forget/beta": Slot("bias", order="f"),
            "output/beta": Slot("bias", order="o"),
            "state/beta": Slot("inert"),
            **{f"{part}/gamma": Slot("inert") for part in _NORMED},
        },
        gate_axis=1,
        required=("kernel", "forget/beta"),
        backward=("bw",),
        offset=1.0,
        joint=True,
        notes=(_FORGET_BIAS,),
    ),
    _tensorflow(
        "tf_keras legacy_cells.py BasicLSTMCell, LSTMCell; contrib LSTMBlockCell",
        "lstm_cell",
        _OF_TENSORFLOW,
    ),
    _tensorflow(
        "the same before TensorFlow 1.2: weights and biases",
        "lstm_cell/weights",
        _OF_TENSORFLOW,
        "weights",
        "biases",
    ),
    _tensorflow(
        "tensorflow/contrib/rnn/python/ops/lstm_ops.py LSTMBlockFusedCell: the operator BlockLSTM",
        "lstm_fused_cell",
        r"(?P<cell_name>lstm_fused_cell(?:_\d+)?)[/.]",
    ),
    _tensorflow(
        "TensorFlow 0.12 python/ops/rnn_cell.py BasicLSTMCell, _linear",
        "BasicLSTMCell/Linear/Matrix",
        "BasicLSTMCell/Linear/",
        "Matrix",
        "Bias",
    ),
    _tensorflow(
        "TensorFlow 0.12 python/ops/rnn_cell.py LSTMCell, whose weights may be in shards",
        "LSTMCell/W_0",
        "LSTMCell/",
        "W_0",
        "B",
    ),
    Convention(
        name="tensorflow-conv",
        source="tensorflow/contrib/rnn/python/ops/rnn_cell.py ConvLSTMCell: one convolution over x "
        "and h, split i, j, f, o; forget_bias added at run time",
        hint="lstm_cell/biases",
        tail=rf"{_PLACED}conv_(?:[123]d_)?lstm_cell(?:_\d+)?[/.](?P<tensor>kernel|biases)(?::0)?",
        slots={"kernel": Slot("recurrent"), "biases": Slot("bias")},
        order="igfo",
        gate_axis=1,
        required=("kernel", "biases"),
        backward=("bw",),
        offset=1.0,
        joint=True,
        convolution=True,
        kernel_first=True,
        notes=(_FORGET_BIAS,),
    ),
    Convention(
        name="tensorflow-cudnn",
        source="tensorflow/contrib/cudnn_rnn CudnnCompatibleLSTMCell: forget_bias=0",
        hint="cudnn_compatible_lstm_cell",
        tail=r"(?:(?:bidirectional_rnn/)?(?P<way>fw|bw)/)?"
        r"(?:multi_rnn_cell/cell_(?P<layer>\d{1,9})/)?cudnn_compatible_lstm_cell[/.](?P<tensor>kernel|bias)(?::0)?",
        slots={"kernel": Slot("recurrent"), "bias": Slot("bias")},
        order="igfo",
        gate_axis=1,
        required=("kernel", "bias"),
        backward=("bw",),
        joint=True,
    ),
    _tensorflow(
        "LSTMCell with peepholes (w_f_diag) under any name",
        "/w_f_diag",
        rf"(?P<cell_name>{_WORD})/",
        needs=("w_f_diag",),
        notes=(_NAMED_BY_ITS_AUTHOR,),
    ),
    _tensorflow(
        "LSTMCell with num_proj under any name",
        "/projection/kernel",
        rf"(?P<cell_name>{_WORD})/",
        needs=("projection/kernel",),
        notes=(_NAMED_BY_ITS_AUTHOR,),
        proven=True,
    ),
    _tensorflow(
        "the same cells, called an LSTM by their author, where TensorFlow's own scopes are",
        "/kernel",
        rf"{_IN_A_SCOPE}(?P<cell_name>{_SAYS_LSTM})/",
        notes=(_NAMED_BY_ITS_AUTHOR,),
        formats=_OF_ARRAYS,
        marks=("stm", "STM"),
    ),
    _tensorflow(
        "the same cells, called an LSTM by their author",
        "/kernel",
        rf"(?P<cell_name>{_SAYS_LSTM})/",
        notes=(_NAMED_BY_ITS_AUTHOR,),
        formats=("tf-checkpoint",),
        marks=("stm", "STM"),
    ),
    Convention(
        name="haiku",
        source="dm-haiku haiku/_src/recurrent.py LSTM: gates i, g, f, o; sigmoid(f + 1)",
        hint="/linear",
        tail=r"(?P<cell_name>(?:[^/.]*_)?lstm(?:_\d+)?)/linear[./](?P<tensor>[wb])",
        slots={"w": Slot("recurrent"), "b": Slot("bias")},
        order="igfo",
        gate_axis=1,
        required=("w", "b"),
        offset=1.0,
        joint=True,
    ),
    Convention(
        name="sonnet-1",
        source="sonnet 1.36 modules/gated_rnn.py LSTM: gates i, j, f, o; forget_bias added at run "
        "time",
        hint="w_gates",
        tail=r"(?P<tensor>w_gates|b_gates|w_[fio]_diag)(?::0)?",
        slots={
            "w_gates": Slot("recurrent"),
            "b_gates": Slot("bias"),
            **{f"w_{gate}_diag": Slot("inert") for gate in "fio"},
        },
        order="igfo",
        gate_axis=1,
        required=("w_gates", "b_gates"),
        offset=1.0,
        joint=True,
        notes=(_FORGET_BIAS,),
    ),
    Convention(
        name="sonnet",
        source="sonnet 2 src/recurrent.py LSTM: 1 is folded into the stored b; sonnet 1 is another",
        hint="w_h",
        # a tf.train.Checkpoint has the names of attributes, `_w_h`
        tail=r"_?(?P<tensor>w_i|w_h|b|projection)",
        slots={
            "w_i": Slot("input"),
            "w_h": Slot("recurrent"),
            "b": Slot("bias"),
            "projection": Slot("projection"),
        },
        gate_axis=1,
        required=("w_i", "w_h", "b"),
    ),
    Convention(
        name="gluon",
        source="mxnet/gluon/rnn/rnn_layer.py _unfuse: what save_parameters writes of a layer",
        hint="_unfused.",
        tail=r"_unfused\.(?P<layer>\d{1,9})\.(?:(?P<way>[lr])_cell\.)?"
        r"(?P<tensor>(?:i2h|h2h)_(?:weight|bias)|h2r_weight)",
        slots=_GLUON,
        required=("i2h_weight", "h2h_weight"),
        backward=("r",),
        pairs=True,
    ),
    Convention(
        name="gluon",
        source="mxnet/gluon/rnn/rnn_layer.py, rnn_cell.py LSTMCell: gates i, f, c, o",
        hint="h2h_weight",
        tail=r"(?:(?P<way>[lr])(?P<layer>\d{1,9})_)?"
        r"(?P<tensor>(?:i2h|h2h)_(?:weight|bias)|h2r_weight)",
        slots=_GLUON,
        required=("i2h_weight", "h2h_weight"),
        backward=("r",),
        pairs=True,
        joined=True,
    ),
    Convention(
        name="mx-rnn",
        source="mxnet/rnn/rnn_cell.py LSTMCell.unpack_weights: a tensor a gate",
        hint="_h2h_f_weight",
        tail=r"(?:(?P<way>[lr])(?P<layer>\d{1,9})_)?"
        r"(?P<tensor>i2h|h2h)_(?P<gate>[ifco])(?P<form>_weight|_bias)",
        slots={
            "i2h_weight": Slot("input", "ih"),
            "h2h_weight": Slot("recurrent", "hh"),
            "i2h_bias": Slot("bias", "ih"),
            "h2h_bias": Slot("bias", "hh"),
        },
        gate_words=_LETTERS,
        required=("i2h_weight", "h2h_weight"),
        backward=("r",),
        pairs=True,
        joined=True,
    ),
    Convention(
        name="tts.cpp",
        source="mmwillet/TTS.cpp py-gguf kokoro_gguf_encoder.py prepare_lstm_tensor: a number is "
        "twice the gate's (i, f, g, o), and one more for h",
        hint="lstm",
        marks=("weights.", "biases."),
        tail=r"(?P<layer>\d{1,9})\.(?:(?P<way>reverse)_)?(?P<tensor>weights|biases)\."
        r"(?=(?P<form>[0-7])$)(?P<gate>[0-7])",
        slots=_NUMBERED_GATES,
        gate_words={str(k): "ifgo"[k // 2] for k in range(8)},
        required=("weights0", "weights3"),
        backward=("reverse",),
        pairs=True,
        formats=("gguf",),
    ),
    Convention(
        name="short",
        source="neuralhydrology/modelzoo/customlstm.py _LSTMCell; tch-rs 0.1 src/nn/rnn.rs: both "
        "i, f, g, o",
        hint="w_hh",
        tail=r"(?P<tensor>[wb]_(?:ih|hh))",
        slots={
            "w_ih": Slot("input", "ih"),
            "w_hh": Slot("recurrent", "hh"),
            "b_ih": Slot("bias", "ih"),
            "b_hh": Slot("bias", "hh"),
        },
        required=("w_ih", "w_hh"),
        pairs=True,
    ),
    Convention(
        name="bayesian",
        source="piEsposito/blitz blitz/modules/lstm_bayesian_layer.py: weights (in, 4H); every "
        "forward samples around the means",
        hint="weight_hh_mu",
        tail=r"(?P<tensor>weight_ih_mu|weight_hh_mu|bias_mu|(?:weight_ih|weight_hh|bias)_rho)",
        slots={
            "weight_ih_mu": Slot("input"),
            "weight_hh_mu": Slot("recurrent"),
            "bias_mu": Slot("bias"),
            **{f"{part}_rho": Slot("inert") for part in ("weight_ih", "weight_hh", "bias")},
        },
        gate_axis=1,
        required=("weight_ih_mu", "weight_hh_mu"),
        notes=("every forward samples its weights; this is their mean",),
    ),
    Convention(
        name="child-sum-tree",
        source="dasguptar/treelstm.pytorch model.py ChildSumTreeLSTM: ioux, iouh; fx + fh a child",
        hint="iouh",
        tail=r"(?P<tensor>(?:ioux|iouh|fx|fh)\.(?:weight|bias))",
        slots={
            "fh.weight": Slot("recurrent"),
            "fx.weight": Slot("inert"),
            "ioux.weight": Slot("inert"),
            "iouh.weight": Slot("inert"),
            "fx.bias": Slot("bias", "ih", "f"),
            "fh.bias": Slot("bias", "hh", "f"),
            "ioux.bias": Slot("bias", "ih", "iog"),
            "iouh.bias": Slot("bias", "hh", "iog"),
        },
        blocks=(1,),
        required=("fh.weight", "iouh.weight"),
    ),
    Convention(
        name="graph-conv",
        source="pytorch_geometric_temporal nn/recurrent/gconv_lstm.py, gc_lstm.py: conv_x + conv_h "
        "+ b; w_c are peepholes",
        hint="conv_h_f",
        tail=r"(?P<tensor>conv_[xh]|b|w_c)_(?P<gate>[ifco])"
        r"(?P<form>\.bias|\.weight|\.lins\.\d+\.weight|\.lin\.weight)?",
        slots={
            "conv_h.lins.0.weight": Slot("recurrent"),
            "conv_h.weight": Slot("recurrent"),
            "conv_h.lin.weight": Slot("recurrent"),
            "conv_x.bias": Slot("bias", "ih"),
            "conv_h.bias": Slot("bias", "hh"),
            "b": Slot("bias"),
            "w_c": Slot("inert"),
            **{f"conv_x.lins.{k}.weight": Slot("inert") for k in range(8)},
            **{f"conv_h.lins.{k}.weight": Slot("inert") for k in range(1, 8)},
        },
        gate_words=_LETTERS,
        notes=("has peepholes, which add nothing while the memory is empty",),
    ),
    Convention(
        name="gc-lstm",
        source="pytorch_geometric_temporal nn/recurrent/gc_lstm.py: x W + conv(h) + b",
        hint="conv_f.",
        tail=r"(?P<tensor>conv|W|b)_(?P<gate>[ifco])(?P<form>\.bias|\.lins\.\d+\.weight)?",
        slots={
            "conv.lins.0.weight": Slot("recurrent"),
            **{f"conv.lins.{k}.weight": Slot("inert") for k in range(1, 8)},
            "W": Slot("inert"),
            "conv.bias": Slot("bias", "hh"),
            "b": Slot("bias", "ih"),
        },
        gate_words=_LETTERS,
        required=("conv.lins.0.weight", "W"),
    ),
    Convention(
        name="snntorch-conv",
        source="snntorch/_neurons/sconv2dlstm.py SConv2dLSTM: a convolution over (x, mem), split "
        "i, f, o, g",
        hint="reset_mechanism_val",
        marks=("conv.", "reset_mechanism_val"),
        tail=r"(?P<tensor>conv\.(?:weight|bias)|reset_mechanism_val)",
        slots={
            "conv.weight": Slot("recurrent"),
            "conv.bias": Slot("bias"),
            "reset_mechanism_val": Slot("marker"),
        },
        order="ifog",
        required=("conv.weight", "reset_mechanism_val"),
        convolution=True,
    ),
    Convention(
        name="bayesian-torch",
        source="IntelLabs/bayesian-torch rnn_variational.py LSTMReparameterization, LSTMFlipout: "
        "gates i, f, g, o; every forward samples around the means",
        hint="hh.mu_",
        marks=("ih.", "hh."),
        tail=r"(?P<tensor>(?:ih|hh)\.(?:mu|rho|eps)_(?:weight|bias|kernel))",
        slots={
            "ih.mu_weight": Slot("input", "ih"),
            "hh.mu_weight": Slot("recurrent", "hh"),
            "ih.mu_bias": Slot("bias", "ih"),
            "hh.mu_bias": Slot("bias", "hh"),
            **{
                f"{side}.{part}_{what}": Slot("inert")
                for side in ("ih", "hh")
                for part in ("rho", "eps")
                for what in ("weight", "bias")
            },
        },
        required=("ih.mu_weight", "hh.mu_weight"),
        pairs=True,
        notes=("every forward samples its weights; this is their mean",),
    ),
    Convention(
        name="chainer",
        source="chainer/functions/rnn/lstm.py _extract_gates: the gates a, i, f, o take turns; "
        "links/rnn/lstm.py LSTM, StatelessLSTM",
        hint="lateral",
        marks=("upward", "lateral"),
        tail=r"(?P<tensor>upward|lateral)[/.](?P<form>W|b)",
        slots={
            "upwardW": Slot("input"),
            "lateralW": Slot("recurrent"),
            "upwardb": Slot("bias"),
        },
        order="gifo",
        required=("upwardW", "lateralW"),
        interleaved=True,
    ),
    Convention(
        name="chainer-nstep",
        source="chainer/functions/rnn/n_step_lstm.py: w0 to w3 for x and w4 to w7 for h, by the "
        "code i, f, a, o; a number is layer * directions + direction",
        hint="/w7",
        tail=r"(?P<cell>\d{1,9})/(?P<tensor>[wb])(?=(?P<form>[0-7])$)(?P<gate>[0-7])",
        slots={
            f"{tensor}{k}": Slot(
                "bias" if tensor == "b" else "input" if k < 4 else "recurrent",
                "ih" if k < 4 else "hh",
            )
            for tensor in "wb"
            for k in range(8)
        },
        gate_words={str(k): "ifgo"[k % 4] for k in range(8)},
        required=("w0", "w7"),
        pairs=True,
    ),
    Convention(
        name="flax-conv",
        source="flax/linen/recurrent.py ConvLSTMCell: i, g, f, o along the last axis; "
        "sigmoid(f + 1)",
        hint="hh",
        marks=("ih", "hh"),
        tail=r"(?P<tensor>[ih]h)[/.](?P<form>kernel|bias)",
        slots={
            "ihkernel": Slot("input", "ih"),
            "hhkernel": Slot("recurrent", "hh"),
            "ihbias": Slot("bias", "ih"),
            "hhbias": Slot("bias", "hh"),
        },
        order="igfo",
        gate_axis=1,
        required=("ihkernel", "hhkernel"),
        offset=1.0,
        pairs=True,
        convolution=True,
        kernel_first=True,
    ),
    Convention(
        name="haiku-conv",
        source="dm-haiku haiku/_src/recurrent.py ConvNDLSTM: gates i, g, f, o; sigmoid(f + 1)",
        hint="/hidden_to_hidden",
        marks=("_to_hidden",),
        tail=r"(?P<tensor>(?:input|hidden)_to_hidden)[/.](?P<form>w|b)",
        slots={
            "input_to_hiddenw": Slot("input", "ih"),
            "hidden_to_hiddenw": Slot("recurrent", "hh"),
            "input_to_hiddenb": Slot("bias", "ih"),
            "hidden_to_hiddenb": Slot("bias", "hh"),
        },
        order="igfo",
        gate_axis=1,
        required=("input_to_hiddenw", "hidden_to_hiddenw"),
        offset=1.0,
        pairs=True,
        convolution=True,
        kernel_first=True,
    ),
    Convention(
        name="sonnet-conv",
        source="sonnet 2 src/recurrent.py Conv1DLSTM, Conv2DLSTM, Conv3DLSTM: 1 is folded into b",
        hint="/_hidden_to_hidden",
        tail=r"(?P<tensor>_input_to_hidden/w|_hidden_to_hidden/w|b)",
        slots={
            "_input_to_hidden/w": Slot("input"),
            "_hidden_to_hidden/w": Slot("recurrent"),
            "b": Slot("bias"),
        },
        gate_axis=1,
        required=("_input_to_hidden/w", "_hidden_to_hidden/w"),
        convolution=True,
        kernel_first=True,
    ),
    Convention(
        name="mlx-bidirectional",
        source="mlx_audio kitten_tts/modules.py LSTM",
        hint="Wh_",
        tail=r"(?P<tensor>W[xh]|bias_ih|bias_hh)_(?P<way>forward|backward)",
        slots={
            "Wx": Slot("input", "ih"),
            "Wh": Slot("recurrent", "hh"),
            "bias_ih": Slot("bias", "ih"),
            "bias_hh": Slot("bias", "hh"),
        },
        required=("Wx", "Wh"),
        backward=("backward",),
        pairs=True,
    ),
    Convention(
        name="opacus",
        source="opacus/layers/dp_rnn.py DPLSTMCell: RNNLinear ih and hh, gates i, f, g, o",
        hint="hh.weight",
        tail=r"(?P<tensor>(?:ih|hh)\.(?:weight|bias))",
        slots={
            "ih.weight": Slot("input", "ih"),
            "hh.weight": Slot("recurrent", "hh"),
            "ih.bias": Slot("bias", "ih"),
            "hh.bias": Slot("bias", "hh"),
        },
        required=("ih.weight", "hh.weight"),
        pairs=True,
    ),
    Convention(
        name="torch",
        source="torch/nn/modules/rnn.py LSTM, LSTMCell",
        hint="_",
        marks=("_ih", "_hh", "_hr"),
        tail=r"(?:parametrizations\.)?(?P<tensor>(?:weight|bias)_(?:ih|hh|hr))(?:_l(?P<layer>\d{1,9})(?:_(?P<way>reverse))?)?"
        r"(?P<form>_raw|_g|_v|_u|_orig|_mask|_scale|\.original[01]?|\.0\.(?:base|_u|_v))?",
        slots=_torch_slots(),
        joined=True,
        beside={"weight_hh_raw": "module"},
        computed={"bias_ih_orig": "bias_ih", "bias_hh_orig": "bias_hh"},
        backward=("reverse",),
        pairs=True,
    ),
)


class UnreadableNames(NamedTuple):
    """Names of a recurrence that is known, and known to be one whose gates cannot be told.

    `hint` is a text that the names contain; `name` a regular expression for the whole name, with
    the group `module`.
    """

    hint: str
    name: str
    why: str
    source: str


UNREADABLE = (
    UnreadableNames(
        "_recurrent_kernel_",
        r"(?:(?P<module>.*?)\.)??(?:slstm_cell\.)?_recurrent_kernel_",
        "xLSTM's sLSTM: the layout of its bias depends on the backend, cuda or vanilla, which is "
        "not in the file",
        "xlstm/blocks/slstm/cell.py",
    ),
    UnreadableNames(
        "mlstm_",
        r"(?:(?P<module>.*?)\.)??mlstm_(?:cell|layer)\.(?:[if]|if)gate(?:_preact)?\.bias",
        "xLSTM's mLSTM: its input and forget gates are numbers a head, not units",
        "xlstm/blocks/mlstm/cell.py; transformers modeling_xlstm.py",
    ),
    UnreadableNames(
        "ln_hidden_update.",
        r"(?:(?P<module>.*?)\.)??(?:(?:input|hidden)_weights|ln_hidden_update)\.weight",
        "the sLSTM of pytorch-forecasting: its forget gate is no sigmoid, but f / (i + f) of two "
        "exponentials",
        "pytorch_forecasting/layers/_recurrent/_slstm/cell.py",
    ),
    UnreadableNames(
        "conv_m.",
        r"(?:(?P<module>.*?)\.)??conv_[xhm]\.(?:0\.)?weight",
        "ST-LSTM of PredRNN: two memories with a forget gate each, to which the code adds 1",
        "thuml/predrnn-pytorch core/layers/SpatioTemporalLSTMCell.py",
    ),
    UnreadableNames(
        "_iou",
        r"(?:(?P<module>.*?)\.)??[WU]_iou\.weight",
        "a tree LSTM: i, o and u in one block, a forget gate for each child in another",
        "dmlc/dgl examples tree_lstm",
    ),
    UnreadableNames(
        "flat",
        r"(?:(?P<module>.*?)\.)??_{0,2}flat(?:tened)?_?param(?:eter)?s?(?:_?(?:tensor|\d+))?",
        "a sharded trainer flattened all parameters of the module into one vector; save the full "
        "state dict",
        "torch/distributed/fsdp/_flat_param.py",
    ),
    UnreadableNames(
        "flat_weights",
        r"(?:(?P<module>.*?)\.)??_{0,2}flat_weights",
        "all weights of a recurrence in one vector, as torch calls them",
        "torch/nn/modules/rnn.py RNNBase._flat_weights",
    ),
    UnreadableNames(
        "coupled_input_forget_gate_lstm_cell",
        r"(?:(?P<module>.*?)/)??coupled_input_forget_gate_lstm_cell/(?:W|B|kernel|bias)(?:_0)?",
        "TensorFlow's coupled gates: three blocks j, f, o, the input gate is 1 - f, and "
        "forget_bias is added at run time",
        "tensorflow/contrib/rnn/python/ops/rnn_cell.py CoupledInputForgetGateLSTMCell",
    ),
    UnreadableNames(
        "lstm_cell/",
        r"(?P<module>(?:.*/)?(?:g|(?:phased|time_freq|grid|bidirectional_grid|weight_norm|"
        r"layer_norm)_)lstm_cell(?:_\d+)?)/.+",
        "a cell of tf.contrib.rnn that has groups, frequencies, time gates or norms of its own",
        "tensorflow/contrib/rnn/python/ops/rnn_cell.py GLSTMCell, PhasedLSTMCell, "
        "TimeFreqLSTMCell, GridLSTMCell, WeightNormLSTMCell, LayerNormLSTMCell",
    ),
    UnreadableNames(
        "lstm_parameters",
        r"(?P<module>(?:.*[._])?lstm)_parameters",
        "MXNet's fused cell, one vector for all weights; FusedRNNCell.unpack_weights splits it",
        "mxnet/rnn/rnn_cell.py FusedRNNCell",
    ),
    UnreadableNames(
        "opaque_kernel",
        r"(?:(?P<module>.*?)[./])??opaque_kernel",
        "cuDNN's buffer of all weights, whose layout only cuDNN knows",
        "tensorflow/contrib/cudnn_rnn",
    ),
)


class Harmless(NamedTuple):
    """A name in an LSTM's module that says that it enters no gate at x=0, h=0, c=0.

    `what` is vector (a parameter or buffer of the module) or norm (a module inside of it); `name`
    is a regular expression that is searched for.
    """

    what: str
    name: str
    source: str


HARMLESS = (
    Harmless(
        "vector",
        r"(?i)peep|^(?:w_?|weight_?|p_?)?c_?[ifo]$|^w_?[ifo]_?c$|^w_[ifo]_diag$|^p_?[ifo]$|^w[ifo]p$",
        "peepholes multiply c: Gers and Schmidhuber 2000; automan000 Wci, TensorFlow w_f_diag, "
        "CLSTM WFP",
    ),
    Harmless(
        "vector",
        r"(?i)^(?:[hc]_?[0x]|init\w*|initial\w*|\w+_init|\w*hidden_?state|\w*cell_?state|mem|syn|spk)$",
        "a learned or kept state: the step that is measured starts from h=0",
    ),
    Harmless("vector", r"(?i)drop|mask$|thresh|^beta$|^alpha$", "dropout masks, spiking neurons"),
    Harmless(
        "norm",
        r"(?i)(?:^|[._])(?:c|cell|cy|ct|cx|ho|hy|out|output|ln_?c|norm_?c|ln_?ho|lnc)$|_c$|cell$|out(?:put)?$",
        "a norm over c on its way out: Ba et al. 2016, equation 29; fastrnns layernorm_c",
    ),
    Harmless("norm", r"(?i)quant|observer|activation_post_process|fake", "torch.ao.quantization"),
)

NORM_WEIGHTS = ("weight", "gamma", "scale", "g", "gain", "a_2")
# How the gain and the offset of a norm are called: torch, TensorFlow, flax, hand-written ones.
NORM_BIASES = ("bias", "beta", "b", "shift", "b_2")

# How a single number that a cell adds to its forget gate is called: TensorFlow's forget_bias.
FORGET_OFFSET = (
    r"(?i)^(?:\w*_)?(?:forget|f)(?:_?gate)?_?(?:bias|offset|shift|init)$|"
    r"^(?:b|bias|offset|shift)_?(?:f|forget(?:_?gate)?)$|^forget\w*$"
)

BATCH_STATISTICS = frozenset({"running_mean", "running_var", "moving_mean", "moving_variance"})

# The single bias of equinox/nn/_rnn.py LSTMCell, beside torch's names for the weights.
LONE_BIAS = "bias"

# Parts of the names of the modules that hold torch's own recurrences, TorchScript's names too.
CLASS_HOMES = ("torch.nn.modules.rnn", "torch.ao.nn.quant")

# torch's own classes, by their names in those modules.
CLASS_KINDS: Mapping[str, str] = {
    "LSTM": "lstm",
    "LSTMCell": "lstm",
    "GRU": "gru",
    "GRUCell": "gru",
    "RNN": "rnn",
    "RNNCell": "rnn",
}

# What the attribute `mode` of an `nn.RNNBase` says, whatever a subclass is called.
MODES: Mapping[str, str] = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn", "RNN_RELU": "rnn"}

# What a class of the author's own says by its name; the first that fits.
CLASS_WORDS = (
    (r"(?i)lstm|cifg|coupled_?(?:input|forget|gate)", "lstm"),
    (
        r"(?i:gru|u?grnn|gatedrecurrentunit|minimalgated|janet|anti_?symmetric|co_?rnn|elman)|"
        r"M[Gg][Uu]|SRU|QRNN|IndRNN|CTRNN|LMU|SCRN|CFN|RHN|NAS(?:Cell|RNN)|"
        r"(?<![A-Z])(?:RAN|N?BRC|LEM|ATR|Atr)(?![a-z])",
        "gru",
    ),
)

# Words of a path that say an LSTM of three gates: Greff 2017's variants NFG and CIFG.
NO_GRU = r"(?i)cifg|coupled|no_?forget|nfg?_?lstm|lstm_?nfg?"

MOMENTS = frozenset(
    {
        "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg",
        "acc_delta", "exp_inf", "prev_grad", "fp32_flat_groups",
    }
)  # fmt: skip

# What below one of `HOLDERS` makes it an optimizer's state: torch.optim, optax, TensorFlow.
MOMENTS_BELOW = MOMENTS | {
    "mu", "nu", "trace", "momentum", "velocity", "sum", "param_groups", "max_exp_avg_sqs",
    "accumulator", "row_sum",
}  # fmt: skip

# Components that an optimizer's state goes by; a learned optimizer, which is a model, too.
HOLDERS = frozenset(
    {
        "optimizer", "optimizers", "optimizer_state", "optimizer_states", "optimizer_state_dict",
        "optimizer_state_dicts", "optim", "opt", "opt_state", "optim_state", "optimizer_1",
    }
)  # fmt: skip

# Components, or words of a buffer's name, for what training gathered about the weights: elastic
# weight consolidation (Kirkpatrick 2017), synaptic intelligence (Zenke 2017), SWAG (Maddox 2019,
# swag.py), torch.nn.utils.prune.
# Words for what training gathered about the weights: elastic weight consolidation (Kirkpatrick
# 2017), synaptic intelligence (Zenke 2017), SWAG (Maddox 2019, swag.py), Adam by hand. A component
# of a path, or the end of a buffer's name, is such a thing if it is made of these words and `PLAIN`
# alone: `fisher_dict` is one, `gradient_encoder` is none.
GATHERED = frozenset(
    {
        "grad", "grads", "gradient", "gradients", "fisher", "fishers", "hessian", "hessians",
        "hess", "omegas", "importances", "moment", "moments", "adam", "adagrad", "rmsprop",
        "adamw", "nadam", "radam", "adamax", "adafactor", "adadelta", "adabelief", "gradvar",
    }
)  # fmt: skip

# Whole components that are never a model's; the c of SCAFFOLD are control variates (Karimireddy
# 2020).
GATHERED_NAMES = frozenset(
    {"sq_mean", "sq_means", "cov_mat_sqrt", "importance_scores", "pruning_masks", "prune_masks",
     "sparsity_masks", "weight_masks", "c_local", "c_global", "c_locals", "c_server", "c_client",
     "control_variate", "control_variates", "client_controls", "server_control", "scaffold_c"}
)  # fmt: skip

# The same, where the word is a model's as well (a mask estimator): they count if what lies under
# them, or stands before them in the name, repeats the names of the model.
MIRRORS = frozenset(
    {
        "mask", "masks", "importance", "omega", "fim", "swag", "sensitivity", "saliency", "mean",
        "means", "var", "vars", "variance", "variances", "sigma", "sigmas", "std", "score",
        "scores", "delta", "deltas", "update", "updates", "velocity", "velocities", "momentum",
        "momenta", "noise", "eps", "epsilon", "precision", "sparsity", "residual", "residuals",
        "preconditioner", "kfac", "slots", "variate", "variates", "feedback", "m", "v", "mt",
        "vt", "nu", "logvar", "sq", "vector", "c", "u", "z", "dual", "duals", "multiplier",
        "multipliers", "lagrange", "lambda", "correction", "corrections", "drift", "drifts",
        "curvature", "precond", "preconditioners", "shampoo", "kron", "soap", "muon", "lion",
        "diff", "diffs", "difference", "differences", "displacement", "attribution", "attributions",
        "relevance", "snr", "integral", "integrals", "sparsities",
        "accumulator", "accumulators", "step", "steps", "history",
    }
)  # fmt: skip

# Words that end the name of a buffer in which a task's weights were kept; a component of a path
# that is so called is a copy of the model.
KEPT = frozenset({"old", "prev", "anchor", "star", "previous"})

# Components below which the whole of a model lies, not a part of one.
MODELS = frozenset(
    {
        "model", "models", "state_dict", "model_state_dict", "model_state", "module", "net",
        "network", "params", "parameters", "weights", "_orig_mod", "policy",
    }
)  # fmt: skip

# Words that may stand beside those of `GATHERED` and `MIRRORS`, and say nothing by themselves.
PLAIN = frozenset(
    {
        "dict", "dicts", "state", "states", "param", "params", "parameter", "parameters",
        "accumulated", "accum", "ema", "avg", "square", "squared", "norm", "norms", "diag",
        "diagonal", "matrix", "matrices", "information", "info", "estimated", "estimate", "saved",
        "last", "running", "total", "sum", "sample", "weight", "weights", "buffer", "buffers",
        "tensor", "tensors", "map", "list", "task", "tasks", "local", "global", "first", "second",
        "si", "mas", "ewc", "lottery", "pruning", "prune", "posterior", "prior", "taylor", "error",
        "control", "log", "per", "cov", "mat", "sqrt", "dropout", "of", "the", "trace",
        "empirical", "big", "small", "path", "nesterov", "heavy", "ball", "order",
        "pseudo", "client", "clients", "server", "worker", "workers", "round", "model", "scaffold",
        "feddyn", "fedprox", "admm", "variables", "variable", "sam", "by", "abs",
        "max", "min", "stat", "stats",
    }
)  # fmt: skip
