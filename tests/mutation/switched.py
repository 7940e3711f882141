"""Writes headers in which the changes of tests/mutation/run can be switched on at run time: see switch.hpp."""
import collections
import re

COMPARISONS = {" < ": "less", " <= ": "less_equal", " > ": "greater", " >= ": "greater_equal", " == ": "equal", " != ": "not_equal"}
BINARY = COMPARISONS | {
    " + ": "plus", " - ": "minus", " * ": "times", " / ": "divided", " % ": "modulo", " & ": "bit_and", " | ": "bit_or", " ^ ": "bit_xor",
    " << ": "shift_left", " >> ": "shift_right",
}  # fmt: skip
ASSIGNMENT = {" += ": "plus_assign", " -= ": "minus_assign", " |= ": "or_assign"}


def operands(code, at, old):
    """Where the left operand of the && or || at a place begins, and where its right one ends."""
    begin, depth = at, 0
    while begin > 0:
        c, before = code[begin - 1], code[max(0, begin - 8) : begin]
        depth += (c in ")]}") - (c in "([{")
        if depth < 0 or depth == 0 and (c in ",;?" or re.search(r"(?<!:):$|(?<![=!<>])=$|\breturn$", before) and not code.startswith("::", begin - 1) or old == " && " and before.endswith("||")):
            break
        begin -= 1
    end, depth = at + len(old), 0
    while end < len(code):
        c = code[end]
        depth += (c in "([{") - (c in ")]}")
        if depth < 0 or depth == 0 and (c in ",;?" or re.match(r":(?!:)", code[end:]) and code[end - 1] != ":" or code.startswith("||", end) or old == " && " and code.startswith("&&", end)):
            break
        end += 1
    return begin + len(code[begin:at]) - len(code[begin:at].lstrip()), at + len(old) + len(code[at + len(old) : end].rstrip())


def switched(text, code, mutants, left_out):
    """The header's text with switches, and the numbers of those that have one. `mutants` are (number, mutant); the lines
    `left_out` stay as they are; `code` is the text without comments and strings, in the same places."""
    places = collections.defaultdict(list)
    for number, m in mutants:
        if m.line not in left_out:
            places[m.at, m.old].append((number, m))
    edits, served = [], set()  # place, order among edits of the same place, length of what is replaced, what by

    for (at, old), here in places.items():
        if old in (" && ", " || "):
            begin, end = operands(code, at, old)
            if left_out & set(range(text.count("\n", 0, begin) + 1, text.count("\n", 0, end) + 2)):
                continue
        number = here[0][0]
        of = {m.kind: n for n, m in here}
        if old in BINARY:
            edits.append((at, 1, 0, f"{old}::mutation::{BINARY[old]}<{of.get('comparison', 0) if old in COMPARISONS else number}, {of.get('boundary', 0)}>{{}}", 0))
        elif old in ASSIGNMENT:
            edits.append((at + len(old), 3, 0, f"::mutation::{ASSIGNMENT[old]}<{number}>{{}}{old}", 0))
        elif old == "++":
            if not re.match(r"\w", code[at + 2]):
                continue
            edits.append((at, 3, 0, f"::mutation::increment<{number}>{{}} ->* ", 2))
        elif old == "!":
            edits.append((at, 3, 0, f"::mutation::negation<{number}>{{}} ->* ", 0))
        elif old in ("true", "false"):
            edits.append((at, 3, 0, f"::mutation::truth<{number}>({old})", len(old)))
        elif old in (" && ", " || "):
            on = f"::mutation::on<{number}>()"
            edits.append((begin, 2, begin - end, "((bool(", 0))
            edits.append((at, 1, 1, f")) == {on} ? {on} : bool(" if old == " && " else f")) != {on} ? !{on} : bool(", len(old)))
            edits.append((end, 0, end - begin, "))", 0))
        elif "constant" in of:
            value = int(old.rstrip("U"), 0)
            numbers = {int(m.new.rstrip("U"), 0): n for n, m in here}
            edits.append((at, 3, 0, f"::mutation::number<{numbers.get(value + 1, 0)}, {numbers.get(value - 1, 0)}>({old})", len(old)))
        else:
            continue
        served |= {n for n, _ in here}
    pieces, position = [], 0
    for at, _, _, new, length in sorted(edits, key=lambda e: e[:3]):
        pieces += [text[position:at], new]
        position = max(position, at + length)
    return "".join([*pieces, text[position:]]), served
