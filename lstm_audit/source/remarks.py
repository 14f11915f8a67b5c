"""What the walk noted, as remarks for the rules of source.

Comes in: the sites of a run, and what it left. Goes out: `Remark`s. Promise: an overwritten bias is
said only if the gate stays without one, a function that nobody calls only if it would set one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from ..rules import Remark
from .branches import STAYS, BranchResult, run_branch
from .calls import invoke
from .entries import HeldRecurrence, Left
from .machine import Machine, Site, StopRun, is_set
from .tensors import PhantomStorage, PhantomTensor, read_runs
from .values import Class, Dotted, Function, Instance, ancestry

LAYER = re.compile(r"l(\d+)(_reverse)?\Z")
# Functions that nobody calls which are tried.
MOST_TRIED = 20


def remarks_of(left: Left, path: str) -> tuple[Remark, ...]:
    """All remarks on one file."""
    sites = [site for site in left.machine.sites if site.place.path == path]
    found = [*_find_overwritten(sites, left), *_substrings(sites), *_on_leaves(sites)]
    found += _never_called(left, path)
    found.sort(key=lambda remark: remark.severity == "error")  # of two at one line, the error
    return tuple({(r.code, r.line, r.module): r for r in found}.values())


def _remark(site: Site, words: dict[str, str], module: str | None = None) -> Remark:
    return Remark(site.code, site.place.line, site.place.column, module, words)


def _find_overwritten(sites: Sequence[Site], left: Left) -> Iterator[Remark]:
    names = {id(held.module): held.name for held in left.held}
    for site in sites:
        if site.code == "LA501":
            role, value, line, by = site.facts
            if id(role.module) in names and _is_bare(role.module, role.name):
                words = {"value": f"{value:.4g}", "line": str(line), "by": by}
                yield _remark(site, words, names[id(role.module)])


def _is_bare(module: Instance, name: str) -> bool:
    """Whether both halves end without a forget bias."""
    tail = name[len("bias_ih") :]
    biases = [module.attrs.get(f"bias_{half}{tail}") for half in ("ih", "hh")]
    return all(isinstance(bias, PhantomTensor) and not _sets_forget(bias) for bias in biases)


def _sets_forget(bias: PhantomTensor) -> bool:
    role = bias.storage.role
    return role is not None and any(map(is_set, role.forget(read_runs(bias))))


def _substrings(sites: Sequence[Site]) -> Iterator[Remark]:
    """`"l1" in name`; said as an error where it was true of another layer."""
    for site in sites:
        if site.code != "LA503":
            continue
        text, name = site.facts
        asked, given = LAYER.search(text), LAYER.search(name)
        if asked is None or given is None or asked[2] or asked[1] == "0":
            continue
        wrong = text in name and asked[1] != given[1]
        digits = asked[1]
        others = f"l{digits}0, l{digits}1 and l{digits}_reverse"
        words = {"text": text, "also": f"l{given[1]}" if wrong else others}
        remark = _remark(site, words)
        yield remark._replace(severity="error") if wrong else remark


def _on_leaves(sites: Sequence[Site]) -> Iterator[Remark]:
    return (_remark(site, {}) for site in sites if site.code == "LA504")


# ---- functions that nobody calls


def _never_called(left: Left, path: str) -> Iterator[Remark]:
    m = left.machine
    bare = [held for held in left.held if not held.helper and _all_bare(held.module)]
    for function, owners in list(_find_uncalled(left, bare))[:MOST_TRIED]:
        if function.path == path:
            for owner in owners:
                held = _would_set(m, function, owner, bare)
                if held is not None:
                    yield _call_missing(function, held)
                    break


def _all_bare(module: Instance) -> bool:
    biases = [value for value in module.attrs.values() if isinstance(value, PhantomTensor)]
    return module.kind in ("torch.nn.LSTM", "torch.nn.LSTMCell") and not any(
        map(_sets_forget, biases)
    )


def _find_uncalled(
    left: Left, bare: Sequence[HeldRecurrence]
) -> Iterator[tuple[Function, list[Instance]]]:
    """Functions with the objects that they may be called on."""
    scope = left.machine.scopes[next(iter(left.machine.scopes))]
    modules = [held.module for held in bare]
    for value in list(scope.names.values()):
        if isinstance(value, Function) and not value.calls and modules:
            yield value, [*modules, *left.machine.made[:1]]
    for cls in left.machine.classes:
        instances = [one for one in left.machine.made if one.cls is cls][-1:]
        if instances and not _has_foreign_base(cls):
            for name, value in cls.attrs.items():
                if isinstance(value, Function) and _is_candidate(name, value):
                    yield value, instances


def _is_candidate(name: str, function: Function) -> bool:
    """A method that nobody calls and that needs nothing but its object."""
    if function.calls or name.startswith("__") or name == "forward":
        return False
    arguments = function.node.args
    needed = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return needed <= 1 and not function.is_property()


def _has_foreign_base(cls: Class) -> bool:
    """A framework may call methods by their names."""
    bases = [base for base in ancestry(cls) if isinstance(base, Dotted)]
    return any(base.root not in ("torch", "abc", "builtins") for base in bases)


def _would_set(
    m: Machine, function: Function, owner: Instance, bare: Iterable[HeldRecurrence]
) -> HeldRecurrence | None:
    """The LSTM whose forget gate the function would set; whatever it does is taken back."""
    m.start()
    try:
        outcome: BranchResult = run_branch(m, partial(_call, m, function, owner))
    except (StopRun, RecursionError):
        return None
    for container, _, runs in outcome.changes.values():
        role = container.role if isinstance(container, PhantomStorage) else None
        if role is not None and any(map(is_set, role.forget(runs))):
            return next((held for held in bare if held.module is role.module), None)
    return None


def _call(m: Machine, function: Function, owner: Instance) -> frozenset[str]:
    invoke(m, function, [owner], {})
    return STAYS


def _call_missing(function: Function, held: HeldRecurrence) -> Remark:
    owner = f"{function.owner.name}." if function.owner else ""
    words = {"function": f"{owner}{function.name}", "lstm": held.name}
    line, column = function.node.lineno, function.node.col_offset + 1
    return Remark("LA502", line, column, held.name, words)
