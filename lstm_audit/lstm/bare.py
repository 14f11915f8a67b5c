"""Cells whose tensors' names say little: numbers for gates, one array for all, one flat vector.

Comes in: a `Scene`. Goes out: `Sight`s. Promise: where the names say little, the module must say
what it is (LSTM, RNN, cell), or the one word that only an LSTM has, forget.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from .draft import Draft
from .match import paths
from .scene import LSTM_WORD, Scene, Sight, cell_of, is_cell, says_cell, says_lstm
from .siblings import HIDDEN_TEXT, GateNames, WeightPair, stem_of

NUMBERED = r"(?P<module>.*?)[./|](?P<stem>\w+)[./|](?P<gate>[0-3])(?P<leaf>[./|]\w+)?"
# The same, with the number joined to the word: `gate1`, `fc_4`.
COUNTED = r"(?P<module>.*?)[./|](?P<stem>[A-Za-z]\w*?)(?P<gate>[0-4])(?P<leaf>[./|]\w+)?"
# A list of gates: of layers of other names only where the module says LSTM.
GATE_LISTS = r"(?i)^\w*gates?(?:_?(?:list|layers|linears|fcs))?$"

FORGET_WORD = r"(?i)forget|remember"
# Gated attention has a forget gate too, which takes nothing from a step before (Lin et al. 2025,
# Forgetting Transformer).
ATTENTION = r"(?i)^(?:w_?)?(?:[qkv](?:_?proj)?|query|key|value)s?$"

RECURRENT_WORD = r"(?i)recur|(?:^|_)rec(?:_|$)|(?:^|_)h(?:id|idden)?_?(?:2|to)|(?:^|_)hh(?:_|$)"
FLAT_WORD = (
    r"(?i)flat|buffer|pack|cudnn|opaque|blob|"
    r"^(?:all_?)?(?:weights?|params?|parameters|data|kernel|w|theta)$"
)
# By module, list and leaf: the names by their number.
NumberLists = Mapping[tuple[str, str, str], Mapping[str, str]]
# Elements of a vector that could hold all of an LSTM: no bias of a small one is mistaken.
LEAST_FLAT = 64
# Layers of a stack of AllenNLP's; its largest had eight.
MAX_STACK = 16


def find_bare(left: Sequence[str], couples: Sequence[WeightPair], scene: Scene) -> Iterator[Sight]:
    """Every look of this file, the most telling first; `couples` are the pairs among the names."""
    folders = _folders(left)
    yield from _forget_word(left, scene)
    lists = _number_lists(left)
    yield from _find_numbered(lists, scene)
    yield from _find_list_pairs(lists, scene)
    yield from _find_stacked_gates(folders, couples, scene)
    yield from _side_by_side(scene)
    yield from _of_more_gates(left, scene)
    yield from _flat(folders, scene)
    yield from _flat_highway(left, scene)


def _forget_word(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """A weight that says forget, over the hidden state, among others of its shape."""
    for name in left:
        module, stem, leaf = stem_of(name)
        if not re.search(FORGET_WORD, stem) or leaf in ("bias", "b") or "bias" in stem.lower():
            continue
        shape = scene.shape(name)
        if len(shape) < 2:
            continue
        alike = [n for n in scene.within[module] if scene.shape(n) == shape]
        stems = [stem_of(n)[1] for n in scene.within[module]]
        if len(alike) >= 3 and not any(re.match(ATTENTION, other) for other in stems):
            sizes = {scene.shape(n)[:2] for n in scene.within[module]}
            if shape[0] != shape[1] or any(len(s) == 2 and s[0] == shape[0] != s[1] for s in sizes):
                yield Sight(module, tuple(alike), "a forget gate among weights of its shape")


def _number_lists(left: Sequence[str]) -> dict[tuple[str, str, str], dict[str, str]]:
    """Names that differ in a number alone, by their module, list and leaf."""
    lists: dict[tuple[str, str, str], dict[str, str]] = {}
    for name in left:
        if name[-1:].isdigit() or stem_of(name)[1][-1:].isdigit():
            seen = re.fullmatch(NUMBERED, name) or re.fullmatch(COUNTED, name)
            if seen:
                key = seen["module"], seen["stem"], seen["leaf"] or ""
                lists.setdefault(key, {})[seen["gate"]] = name
    return lists


# Four layers have four weights of x and four of h as well; only the first of them takes an input,
# and the others the layer below, so that of layers the four of x are of two shapes.
def _find_list_pairs(lists: NumberLists, scene: Scene) -> Iterator[Sight]:
    """Two lists of four matrices, by number, of which one is square: the gates' weights of x and
    of h, beside four biases or in a cell.
    """
    fours: dict[str, list[tuple[str, ...]]] = {}
    for (module, _, _), names in lists.items():
        if len(names) == 4 and len({scene.shape(name) for name in names.values()}) == 1:
            fours.setdefault(module, []).append(tuple(names[key] for key in sorted(names)))
    for module, found in fours.items():
        shapes = {names: scene.shape(names[0]) for names in found}
        square = [n for n, shape in shapes.items() if len(shape) == 2 and shape[0] == shape[1] > 1]
        for of_h in square[:1]:
            hidden = shapes[of_h][0]
            of_x = [n for n, s in shapes.items() if len(s) == 2 and hidden in s and s[0] != s[1]]
            biases = [n for n, s in shapes.items() if s == (hidden,)]
            if len(square) == len(of_x) == 1 and (biases or is_cell(module) or says_lstm(module)):
                why = f"four weights of x and four of {hidden} x {hidden}, by number"
                yield Sight(module, (*of_x[0], *of_h), why)


def _find_numbered(lists: NumberLists, scene: Scene) -> Iterator[Sight]:
    """Four weights of one shape, a number each, in a list of gates."""
    for (module, stem, leaf), names in lists.items():
        if not (says_lstm(module) or says_cell(module)):
            continue
        shapes = {scene.shape(name) for name in names.values()}
        shape = min(shapes)
        first = "0" if "0" in names else "1"
        if len(names) != 4 or len(shapes) != 1 or len(shape) < 2 or shape[0] >= shape[1]:
            continue
        if says_lstm(module) or re.match(GATE_LISTS, stem):
            members = dict(zip("ifgo", map(names.__getitem__, sorted(names)), strict=True))
            words = dict(zip("ifgo", sorted(names), strict=True))
            family = GateNames(module, _template(names[first], leaf), words, members, False)
            biases = _biases(family, scene)
            why = "four weights over the input and the hidden state, by number"
            draft = Draft.of_families(module, [family, *biases], family, scene.shape, shape[0])
            yield Sight(module, tuple(names.values()), why, draft)


def _template(name: str, leaf: str) -> str:
    """The name of gate 0 with a place for the number."""
    return f"{name[: len(name) - len(leaf) - 1]}{{gate}}{leaf}"


def _biases(family: GateNames, scene: Scene) -> list[GateNames]:
    """The biases that belong to the weights by name."""
    members = {
        gate: next((b for b in Draft.bias_names(name) if b in scene.there), "")
        for gate, name in family.members.items()
    }
    if not all(members.values()):
        return []
    leaf = members["i"][family.template.index("{gate}") + 1 :]
    return [GateNames(family.module, _template(members["i"], leaf), family.words, members, False)]


def _find_stacked_gates(
    folders: Mapping[str, Sequence[str]], couples: Sequence[WeightPair], scene: Scene
) -> Iterator[Sight]:
    """Arrays whose first axis is the gates: (4, H, in) and (4, H, H), or both in one."""
    for pair in couples:
        x, h = scene.shape(pair.source), scene.shape(pair.recurrent)
        if x == h and not (says_lstm(pair.module) or says_cell(pair.module)):
            continue  # a gated linear unit of four heads has two such arrays (Griffin, De 2024)
        if len(x) == len(h) == 3 and x[0] == h[0] == 4 and h[1] == h[2] and h[1] in x[1:]:
            why = f"four matrices of {h[1]} x {h[2]} in one array"
            yield Sight(pair.module, (pair.source, pair.recurrent), why)
    for module, names in folders.items():
        if says_lstm(module):
            arrays = [n for n in names if _four_gates(scene.shape(n))]
            if arrays:
                yield Sight(cell_of(module), tuple(arrays), "four matrices in one array")


def _four_gates(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] == 4 and min(shape) > 1


def _side_by_side(scene: Scene) -> Iterator[Sight]:
    """Two weights of as many rows, one of them four times as high as wide, whose names do not
    pair: one says the hidden state, or the module says what it is.
    """
    for module, names in scene.within.items():
        # a bias of several heads is a matrix too (the RG-LRU of Griffin, De 2024)
        flat = [n for n in names if len(scene.shape(n)) == 2 and 1 not in scene.shape(n)]
        matrices = [n for n in flat if "bias" not in stem_of(n)[1]]
        if len(matrices) != 2:
            continue
        for h, x in (matrices, matrices[::-1]):
            for axis in (0, 1):
                rows, columns = scene.shape(h)[axis], scene.shape(h)[1 - axis]
                if rows != 4 * columns or scene.shape(x)[axis] != rows:
                    continue
                said = re.search(RECURRENT_WORD, stem_of(h)[1])
                # `rnn` is a scope of TensorFlow's too, in which dense layers stand
                cell = axis == 0 and "/" not in module and is_cell(module)
                if said or cell or says_lstm(module) or _is_recurrent(module, x, h):
                    pair = WeightPair(cell_of(module), x, h)
                    draft = Draft.of_pair(pair, axis, names, scene.shape)
                    why = f"a recurrent weight of {rows} x {columns} beside one of as many gates"
                    yield Sight(pair.module, (x, h), why, draft)
                    break


def _of_more_gates(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """Two weights of as many rows, at least three times as high as one is wide, inside of what says
    LSTM: master gates (ON-LSTM, Shen 2019), or gates that are missing.
    """
    inside: dict[str, list[str]] = {}
    for name in left if any("lstm" in name.lower() for name in left) else ():
        for path in islice(paths(name), 1, 4):
            if says_lstm(path) and cell_of(path) == path and not path.endswith(tuple("0123456789")):
                inside.setdefault(path, []).append(name)
                break
    for module, names in inside.items():
        shapes = {n: scene.shape(n) for n in names if len(scene.shape(n)) == 2}
        for h, (rows, columns) in shapes.items():
            twins = [n for n, shape in shapes.items() if n != h and shape[0] == rows]
            if twins and len(shapes) == 2 and rows >= 3 * columns > 3:
                why = f"a weight of {rows} x {columns} beside one of as many rows"
                yield Sight(module, (h, *twins), why)
                break


def _is_recurrent(module: str, x: str, h: str) -> bool:
    """Whether something that only says cell, or RNN, has a weight of the hidden state."""
    told = re.search(HIDDEN_TEXT, stem_of(h)[1]) and not re.search(HIDDEN_TEXT, stem_of(x)[1])
    return bool(told) and says_cell(module)


def _folders(left: Sequence[str]) -> dict[str, list[str]]:
    """The names by their paths, the last component apart."""
    found: dict[str, list[str]] = {}
    for name in left:
        at = max(name.rfind("."), name.rfind("/"), name.rfind("|"), 0)
        found.setdefault(name[:at], []).append(name)
    return found


def _flat(folders: Mapping[str, Sequence[str]], scene: Scene) -> Iterator[Sight]:
    """One vector, and no matrix, in a module that says LSTM: all of its parameters in one."""
    for module, names in folders.items():
        if not (re.search(LSTM_WORD + "|(?i:rnn|recurr)", module) or is_cell(module)):
            continue
        shapes = {name: scene.shape(name) for name in names}
        vectors = [n for n in names if len(shapes[n]) == 1 and shapes[n][0] >= LEAST_FLAT]
        telling = len(vectors) == 1 and re.search(FLAT_WORD, vectors[0][len(module) :].strip("./|"))
        if telling and all(len(shape) < 2 for shape in shapes.values()):
            yield Sight(cell_of(module), (vectors[0],), "all parameters in one flat vector")


# allennlp/modules/alternating_highway_lstm.py (0.2 to 0.9): all weights of a stack in one vector
# `weight`, of a layer 6H x in and 5H x H, and its biases in `bias`, 5H each. Nothing else has a
# vector beside a vector whose lengths solve these equations: a norm's two are equally long.
def _flat_highway(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """AllenNLP's stack on a GPU, whose number of layers its file does not hold."""
    for weight in left:
        if weight == "weight" or weight.endswith(".weight"):
            bias = f"{weight.removesuffix('weight')}bias"
            if bias in scene.there and _solves(scene.shape(weight), scene.shape(bias)):
                why = "AllenNLP's AlternatingHighwayLSTM: five gates a layer, in one vector for all"
                yield Sight(weight.rpartition(".")[0], (weight, bias), why)


def _solves(weight: tuple[int, ...], bias: tuple[int, ...]) -> bool:
    """Whether some number of layers makes both lengths those of such a stack."""
    if len(weight) != 1 or len(bias) != 1 or weight[0] < LEAST_FLAT or bias[0] % 5:
        return False
    for layers in range(1, MAX_STACK + 1):
        hidden, rest = divmod(bias[0], 5 * layers)
        inner = weight[0] - 5 * hidden * hidden * layers - 6 * hidden * hidden * (layers - 1)
        if not rest and hidden > 1 and inner > 0 and inner % (6 * hidden) == 0:
            return True
    return False
