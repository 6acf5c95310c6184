"""CSV, changed where it means something: quotes, widths, ends of lines, names of columns."""

from collections.abc import Callable
from random import Random

from tests.fuzz.cases import Format, Mutator, Sample
from tests.fuzz.documents import CONTROL
from tests.fuzz.mutating import BLIND, overwrite_numeral
from tests.fuzz.records import ACCEPTED, batch, named

HEADER = b"Species,Light_ISF,EMF,Phenolics,Leaves,Sterile\n"
ROW = b"Quercus alba,0.25,12.5,,4,false\n"
QUOTED = b'"Quercus alba","0.25","12.5","","4","false"\n'
FIELDS = (
    b"",
    b'"',
    b'""',
    b'"a""b"',
    b'"a\nb"',
    b'"open',
    b"a\x00b",
    b"\xff\xfe",
    b"1e999",
    b"nan",
    b"-inf",
    b"=1+1",
    b"x" * 70_000,
    b"1" * 70_000,
    b"0." + b"3" * 70_000,
    b"\t1\t",
    "\u2028\x85".encode(),
    "٣".encode(),
)

BODIES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a header alone": lambda: HEADER,
    "10,000 columns": lambda: b",".join(b"u%d" % at for at in range(10_000)) + b"\n" + b"1\n",
    "40,000 columns": lambda: b",".join(b"u%d" % at for at in range(40_000)) + b"\n",
    "200,000 columns": lambda: b",".join(b"%x" % at for at in range(150_000)) + b"\n",
    "one column 100,000 times": lambda: b"EMF," * 100_000 + b"EMF\n",
    "empty names": lambda: b"," * 900_000 + b"\n",
    "quoted empty names": lambda: b'"",' * 300_000 + b"\n",
    "a long name": lambda: b"x" * 900_000 + b"\n1\n",
    "a longer name": lambda: b"x" * 4_000_000,
    "names that forge lines": lambda: CONTROL.encode() * 1_000 + b"\n",
    "names over lines": lambda: b'"a\nb",' * 50_000 + b"c\n",
    "a header that never ends": lambda: b'"' + b"a\n" * 1_500_000,
    "a row that never ends": lambda: HEADER + b'"' + b"a\n" * 1_500_000,
    "a row without end of line": lambda: HEADER + b"x" * 4_000_000,
    "rows of commas": lambda: HEADER + (b"," * 100_000 + b"\n") * 20,
    "a row of commas": lambda: HEADER + b"," * 4_000_000 + b"\n",
    "quotes": lambda: HEADER + b'"' * 3_000_001,
    "quotes and commas": lambda: HEADER + b'",' * 1_500_000 + b"\n",
    "open quotes": lambda: HEADER + b'"\n' * 1_000_000,
    "bad rows": lambda: HEADER + b"x,x,x,x,x,x\n" * 190_000,
    "short rows": lambda: HEADER + b"x\n" * 190_000,
    "more rows than allowed": lambda: HEADER + b"x\n" * 500_000,
    "rows that forge lines": lambda: (
        HEADER + (CONTROL.replace("\n", "").encode() + b",1,1,1,1,1\n") * 500
    ),
    "long digits": lambda: HEADER + b"Quercus alba," + b"1" * 900_000 + b",1,1,1,false\n",
    "many long digits": lambda: (
        HEADER + (b"Quercus alba,0." + b"1" * 400 + b",1,1,1,false\n") * 5_000
    ),
    "long fractions": lambda: (
        HEADER + (b"Quercus alba,0.1,1." + b"0" * 19 + b"1,1e-300,4,TRUE\n") * 20_000
    ),
    "carriage returns": lambda: HEADER.replace(b"\n", b"\r") + ROW.replace(b"\n", b"\r") * 50_000,
    "NUL": lambda: HEADER + b"\x00" * 1_000_000,
    "NUL rows": lambda: HEADER + b"\x00\n" * 100_000,
    "blank lines": lambda: HEADER + b"\n" * 4_000_000,
    "UTF-16": lambda: (HEADER + ROW).decode().encode("utf-16"),
    "marks of order": lambda: b"\xef\xbb\xbf" * 100 + HEADER + ROW,
    "quoted numbers": lambda: HEADER + QUOTED * 50_000,
    "not quite plain": lambda: (
        HEADER + (ROW * 500 + b'"Quercus ""alba""",0.25,12.5,,4,false\n') * 40
    ),
    "formulas": lambda: HEADER + b'=HYPERLINK("http://x"),0.25,12.5,,4,false\n' * 1_000,
}


def change_field(random: Random, body: bytes) -> bytes:
    """Write something else into a field."""
    lines = body.split(b"\n")
    at = random.randrange(len(lines))
    fields = lines[at].split(b",")
    fields[random.randrange(len(fields))] = random.choice(FIELDS)
    lines[at] = b",".join(fields)
    return b"\n".join(lines)


def widen(random: Random, body: bytes) -> bytes:
    """Give a line more fields."""
    lines = body.split(b"\n")
    at = random.choice((0, random.randrange(len(lines))))
    field = random.choice((b"", b"x", b"EMF", *FIELDS[:6]))
    lines[at] += (b"," + field) * random.choice((1, 5, 1_000, 20_000))
    return b"\n".join(lines)


def swap_columns(random: Random, body: bytes) -> bytes:
    """Name the columns in another order, one twice, or leave one out."""
    head, end, rest = body.partition(b"\n")
    names = head.split(b",")
    random.shuffle(names)
    change = random.randrange(3)
    names = [names[1:], [*names, names[0]], names][change]
    return b",".join(names) + end + rest


def swap_ends(random: Random, body: bytes) -> bytes:
    """End lines in another way."""
    return body.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b"\n\r", b"\x0b", b"")))


def repeat_rows(random: Random, body: bytes) -> bytes:
    """Send the rows many times."""
    head, end, rest = body.partition(b"\n")
    return head + end + rest * min(random.choice((2, 100, 20_000)), 4_000_000 // max(1, len(rest)))


AWARE: tuple[Mutator, ...] = (
    change_field,
    widen,
    swap_columns,
    swap_ends,
    repeat_rows,
    overwrite_numeral,
)
MUTATORS = (*AWARE, *AWARE, *BLIND)


def of_csv() -> Format:
    """Return the format of CSV."""
    plain, report = batch("text/csv"), batch("text/csv", query="?bad_rows=report")
    typed, turning = batch("text/csv", model="typed"), batch("text/csv", model="turning")
    small = b"age,bmi\n0.5,-0.25\n"
    return Format(
        "csv",
        [
            Sample("rows", plain, lambda: HEADER + ROW * 3),
            Sample("reported rows", report, lambda: HEADER + ROW * 3 + b"x,1,1,1,1,1\n"),
            Sample("quoted rows", report, lambda: HEADER + QUOTED * 3),
            Sample("rows of an upload", typed, lambda: small),
        ],
        [
            *named(plain, BODIES),
            *named(report, BODIES),
            Sample("one row beyond a threshold", turning, lambda: b"age,bmi\n5000,0\n"),
        ],
        MUTATORS,
        (*ACCEPTED, {"Content-Type": "text/csv; charset=utf-16"}, {"Content-Encoding": "gzip"}),
    )
