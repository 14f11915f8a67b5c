"""Cells of TensorFlow 1 under names of their author's: one kernel over the input and the hidden
state, beside one bias.

Comes in: a `Scene`. Goes out: `Sight`s. Promise: every dense layer has such shapes, so that the
place speaks as well: a scope in which TensorFlow runs a cell, or a name that says cell; and a plain
RNN's or a GRU's sizes stay silent.
"""

import re
from collections.abc import Iterator, Sequence

from ..tuples import NamedTuple
from .draft import Draft
from .scene import Scene, Sight, says_cell, says_lstm

# The first variable of a layer, as Keras 3 calls it, whose folders go by the layers' classes.
NUMBERED = "vars/0"

# Texts: to compile the three takes 2 ms, which a file without such names need not pay at its start.
KERNEL = r"(?s)(?:(?P<scope>.*)/)?(?P<cell>[^/]+)/(?P<leaf>kernel|weights|vars/0)(?P<end>:0)?"
BIAS_OF = {"kernel": ("bias", "biases"), "weights": ("biases",), NUMBERED: ("vars/1",)}

# Scopes in which dynamic_rnn, bidirectional_dynamic_rnn, MultiRNNCell, static_rnn and seq2seq's
# AttentionWrapper run a cell, and nothing but the layers of `LAYERS` beside it.
SCOPE = r"(?s)(?:.*/)?(?:\w*rnn(?:_\d+)?|fw|bw|attention_wrapper|(?P<stack>\w*cell)_(?P<k>\d{1,4}))"
# Layers and other cells, by their names.
LAYERS = (
    r"(?i)dense|(?:^|_)fc|proj|out(?:put)?s?(?:_|\d|$)|logit|linear|att|embed|norm|conv|head|soft|"
    r"classif|gates?$|candidate|query|key|value|memory|gru|basic_rnn|ugrnn|nas_|highway|minimal|"
    r"intersection|(?:^|_)ran_|sru|mlp|ffn|feed|(?:pre|post|after|before)_"
)


class FusedCell(NamedTuple):
    """A kernel (in + H, 4H) and its bias (4H); `stack` and `number` where it is one of several."""

    scope: str
    name: str
    kernel: str
    bias: str
    rows: int
    columns: int
    stack: str
    number: int

    @property
    def module(self) -> str:
        """Its path."""
        return f"{self.scope}/{self.name}" if self.scope else self.name


def find_fused(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """Cells by their place, whose shapes leave room for four gates."""
    found = [cell for name in left if "/" in name and (cell := _look(name, scene)) is not None]
    alone = _count_by_scope(found)
    cells = [c for c in found if _says_it(c) or (_is_scope(c) and alone[c.scope] == 1)]
    for cell in cells:
        gates = _gates_of_stack(cell, cells)
        if gates not in (None, 4):
            continue
        hidden = cell.columns // 4
        why = f"one weight for the input and {hidden} hidden units, four gates"
        if cell.rows > cell.columns and gates is None:
            why += f", or a plain RNN of {cell.columns} units, whose sizes fit as well"
        draft = Draft.of_fused(cell.scope, cell.kernel, cell.bias)
        if cell.kernel.endswith(NUMBERED):  # in Keras nothing adds 1 at run time
            draft = Draft.of_joint(cell.scope, cell.kernel, cell.bias, 1, hidden)
        yield Sight(cell.module, (cell.kernel, cell.bias), why, draft)


def _look(name: str, scene: Scene) -> FusedCell | None:
    """The cell that a kernel may be of, by its name and sizes."""
    seen = re.fullmatch(KERNEL, name)
    if seen is None or re.search(LAYERS, seen["cell"]):
        return None
    shape = scene.shape(name)
    if len(shape) != 2 or shape[1] % 4 or shape[1] < 8 or shape[0] <= shape[1] // 4:
        return None
    home = name[: seen.start("leaf")]
    names = (f"{home}{word}{seen['end'] or ''}" for word in BIAS_OF[seen["leaf"]])
    bias = next((n for n in names if n in scene.there and scene.shape(n) == (shape[1],)), "")
    scope = seen["scope"] or ""
    if seen["cell"] in scope.split("/"):  # a layer of Keras, whose files have its name twice
        return None
    if not bias or _has_others(name, home, scope, scene):
        return None
    place = re.fullmatch(SCOPE, scope)
    stack = scope[: place.start("k")] if place and place["k"] else ""
    number = int(place["k"]) if place and place["k"] else 0
    return FusedCell(scope, seen["cell"], name, bias, *shape, stack, number)


def _has_others(kernel: str, home: str, scope: str, scene: Scene) -> bool:
    """Whether another weight stands in the folder of a kernel, or in one inside of it."""
    folders = (scope, home[:-1], f"{home}vars")
    near = (name for folder in folders for name in scene.within.get(folder, ()))
    return any(n.startswith(home) and n != kernel and len(scene.shape(n)) > 1 for n in near)


def _says_it(cell: FusedCell) -> bool:
    return says_cell(cell.name) or (cell.kernel.endswith(NUMBERED) and says_lstm(cell.name))


def _is_scope(cell: FusedCell) -> bool:
    return re.fullmatch(SCOPE, cell.scope) is not None


def _count_by_scope(found: Sequence[FusedCell]) -> dict[str, int]:
    """How many kernels stand directly in a scope: TensorFlow runs one cell in each."""
    counts: dict[str, int] = {}
    for cell in found:
        counts[cell.scope] = counts.get(cell.scope, 0) + 1
    return counts


# In a stack the rows of a kernel are the units below and its own: (H' + H) of g H columns each.
def _gates_of_stack(cell: FusedCell, cells: Sequence[FusedCell]) -> int | None:
    """By how many gates the sizes of the cells above or below in a stack fit; None without."""
    others = {c.number: c for c in cells if cell.stack and c.stack == cell.stack}
    for below, above in ((cell.number - 1, cell.number), (cell.number, cell.number + 1)):
        if below in others and above in others:
            width, rows = others[below].columns + others[above].columns, others[above].rows
            return width // rows if width % rows == 0 else None
    return None
