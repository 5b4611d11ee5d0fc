"""What is shown beside a ladder: figures, tape, the mid as it went, the status line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from mdtool.books.rolling import TradeWindow
from mdtool.model import UNKNOWN, Scale, Side, format_decimal
from mdtool.units import count
from mdtool.view.book import BookPicture, Mid, decimals, fixed
from mdtool.view.line import Line, spread, words
from mdtool.view.moments import clock, moment

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
STATES = {
    "SYNCED": "bold black on green",
    "WAITING": "bold black on yellow",
    "PARTIAL": "bold black on yellow",
    "DIRTY": "bold white on red",
    "STALE": "bold black on yellow",
    "ENDED": "bold reverse",
}
SIDE_STYLES = {Side.ASK: "red", Side.BID: "green"}
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_SECONDS = (30, 60, 120, 300)  # what a chart of the mid spans: the least that holds what is known
SPARK_MOST = (60, 300)  # of one line, and of several
DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))  # braille: by column, from below
Of = tuple[Scale, TradeWindow]
PANEL = 48  # columns of the figures where they have a column of their own


def span(ns: int) -> str:
    """About how long: 340 us, 2.3 ms, 4.1 s, 3 min, 7 h, 12 d."""
    sign, ns = ("-" if ns < 0 else ""), abs(ns)
    for size, unit in ((DAY, "d"), (3_600 * SECOND, "h"), (60 * SECOND, "min")):
        if ns >= 2 * size:
            return f"{sign}{ns // size} {unit}"
    for size, unit in ((SECOND, "s"), (1_000_000, "ms"), (1_000, "us")):
        if ns >= size:
            tenths = ns * 10 // size
            return f"{sign}{tenths // 10} {unit}" if tenths >= 100 else f"{sign}{tenths // 10}.{tenths % 10} {unit}"
    return f"{sign}{ns} ns" if ns else "0 s"


def title(picture: BookPicture, width: int, *, short: bool = False) -> Line:
    """Whose book, the last trade, and what the book is worth. `short`: the symbol is said elsewhere."""
    left = Line((f" {picture.venue if short else picture.feed}", "bold"))
    if picture.tape and picture.figures is not None:
        trade, scale = picture.tape[0], picture.figures.scale
        up = trade.side is Side.BID
        price = format_decimal(trade.price, scale.price_exp)
        left.add("  ").add(price, f"bold {SIDE_STYLES[trade.side]}")
        left.add(f" {format_decimal(trade.size, scale.size_exp)} {'bought' if up else 'sold'}")
        change = _percent(picture.day[1]) if picture.day else None
        if change is not None and width >= 100:
            left.add(f"  {change} in {_day_label(picture)}", "dim")
    state = Line((f" {picture.state} ", STATES.get(picture.state, "bold")))
    if picture.note:
        state.add(f" {picture.note}")
    return spread(left.add(" "), state.add(" "), width)


def windows(picture: BookPicture, width: int) -> Iterator[Line]:
    """A minute and a day of trades, a line each."""
    figures = picture.figures
    if figures is None:
        return
    if not picture.as_of_ns:
        yield from (Line().to(width), Line().to(width))
        return
    label = _day_label(picture)
    room = max(len(label), 2)
    minute, day = _same_digits((figures.scale, figures.minute), picture.day)
    rows = [("1m", minute), (label, day)]
    cells = [_cells(scale_and_window) if scale_and_window else [] for _, scale_and_window in rows]
    widths = [max((len(row[at][1]) for row in cells if row), default=0) for at in range(6)]
    for (name, _), row in zip(rows, cells, strict=True):
        line = Line((f" {name:<{room}}", "dim"))
        if not row:
            yield line.add(f"  reading the day: {picture.day_progress:.0%}", "dim").to(width)
            continue
        parts = []
        for (head, text, style), columns in zip(row, widths, strict=True):
            parts.append(Line((f"{head} " if head else "", "dim"), (f"{text:>{columns}}", style)))
        yield line.add("  ").extend(words(parts, width - line.width)).to(width)


def _same_digits(minute: Of, day: Of | None) -> tuple[Of, Of | None]:
    """Both with as many digits: the day's trades were read by themselves."""
    if day is None:
        return minute, None
    finest = minute[0].finest(day[0])
    return _finer(minute, finest), _finer(day, finest)


def _finer(of: Of, scale: Scale) -> Of:
    old, window = of
    price, size = 10 ** (old.price_exp - scale.price_exp), 10 ** (old.size_exp - scale.size_exp)

    def times(value: int | None) -> int | None:
        return None if value is None else value * price

    return scale, replace(
        window,
        volume=window.volume * size,
        notional=window.notional * price * size,
        bought=window.bought * size,
        first=times(window.first),
        last=times(window.last),
        high=times(window.high),
        low=times(window.low),
    )


def _cells(of: Of) -> list[tuple[str, str, str]]:
    """(heading, text, style), most telling first."""
    (price, size), window = of
    change = _percent(window) or "-"
    style = "" if change == "-" or not window.change else SIDE_STYLES[Side.BID if window.change > 0 else Side.ASK]
    return [
        ("", change, style),
        ("high", _price(window.high, price), ""),
        ("low", _price(window.low, price), ""),
        ("vwap", "-" if window.vwap is None else fixed(window.vwap, price), ""),
        ("vol", format_decimal(window.volume, size) if window.volume else "0", ""),
        ("n", f"{window.trades:,}", ""),
    ]


def panel(picture: BookPicture) -> list[Line]:
    """Every figure, one below the other, PANEL wide."""
    figures = picture.figures
    if figures is None:
        return []
    lines = [_head("touch")]
    touch = figures.touch
    if touch is not None:
        exponent = figures.scale.price_exp
        lines.append(_fact("microprice", fixed(touch.microprice, exponent, 2)))
        if touch.tick:
            lines.append(_fact("tick", format_decimal(touch.tick, exponent)))
    if figures.imbalance is not None:
        lines.append(_fact("imbalance", "").extend(_balance(figures.imbalance)))
    lines += [Line(), *_table(picture), Line(), _head("feed")]
    lines.append(_fact("messages", f"{decimals(figures.rate, 1)} /s"))
    if figures.age_ns is not None:
        lines.append(_fact("last change", f"{span(figures.age_ns)} ago" if figures.age_ns > 0 else "now"))
    if figures.latency is not None:
        latency = figures.latency
        lines.append(_fact("latency", f"{span(latency.median_ns)} median, {span(latency.least_ns)} least"))
    lines.append(_fact("gaps", f"{picture.gaps:,}", "bold red" if picture.gaps else ""))
    if picture.last_seq != UNKNOWN:
        lines.append(_fact("update id", str(picture.last_seq)))
    lines.append(_fact("updates", f"{picture.updates:,} of {count(picture.records, 'record')} read"))
    return [line.to(PANEL) for line in lines]


def _head(text: str) -> Line:
    return Line((f"  {text} ", "bold"), ("─" * (PANEL - len(text) - 4), "dim"))


def _fact(name: str, text: str, style: str = "") -> Line:
    return Line((f"  {name:<12}", "dim"), (text, style))


def _balance(imbalance: Fraction) -> Line:
    """From offers on the left to bids on the right."""
    cells = 20
    at = round((imbalance + 1) * cells / 2)
    half = cells // 2
    low, high = min(at, half), max(at, half)
    style = SIDE_STYLES[Side.BID if imbalance >= 0 else Side.ASK]
    line = Line(("·" * low, "dim"), ("█" * (high - low), style), ("·" * (cells - high), "dim"))
    return line.add(f" {signed(imbalance * 100, 0)} %")


def _table(picture: BookPicture) -> Iterator[Line]:
    """The minute beside the day."""
    figures = picture.figures
    assert figures is not None
    label = _day_label(picture)
    yield Line(("  trades ", "bold"), (f"{'1 minute':>18}", "dim"), (f"{label:>19}", "dim"))
    of_minute, of_day = _same_digits((figures.scale, figures.minute), picture.day)
    minute = _rows(*of_minute)
    day = _rows(*of_day) if of_day else [(name, "") for name, _ in minute]
    for (name, left), (_, right) in zip(minute, day, strict=True):
        yield Line((f"  {name:<12}", "dim"), (f"{left:>13} {right:>18}", ""))
    if picture.day is None:
        yield Line((f"  reading the day: {picture.day_progress:.0%}", "dim"))


def _rows(scale: Scale, window: TradeWindow) -> list[tuple[str, str]]:
    price, size = scale
    bought = f"{decimals(Fraction(100 * window.bought, window.volume), 0)} %" if window.volume else "-"
    return [
        ("change", _percent(window) or "-"),
        ("high", _price(window.high, price)),
        ("low", _price(window.low, price)),
        ("vwap", "-" if window.vwap is None else fixed(window.vwap, price, 1)),
        ("volume", format_decimal(window.volume, size) if window.volume else "0"),
        ("bought", bought),
        ("count", f"{window.trades:,}"),
    ]


def _price(value: int | None, exponent: int) -> str:
    return "-" if value is None else format_decimal(value, exponent)


def _percent(window: TradeWindow) -> str | None:
    if window.change is None or not window.first:
        return None
    return f"{signed(Fraction(100 * window.change, window.first), 2)} %"


def signed(value: Fraction, digits: int) -> str:
    """With its sign, as in +0.12."""
    text = decimals(value, digits)
    return text if text.startswith("-") else f"+{text}"


def _day_label(picture: BookPicture) -> str:
    """What the day's figures are of: all there is, where that is less."""
    now_ns = picture.at_ns or picture.as_of_ns
    recorded_ns = now_ns - picture.day_since_ns
    # Records begin where the feed does: a day less a few records is a day.
    return "24h" if not picture.day_since_ns or recorded_ns >= DAY - 60 * SECOND else f"all {span(recorded_ns)}"


def tape(picture: BookPicture, rows: int, width: int) -> list[Line]:
    """The last trades, newest first, under a heading."""
    lines = [Line(("  trades", "dim")).to(width)]
    if picture.figures is None:
        return lines
    price_exp, size_exp = picture.figures.scale
    shown = picture.tape[: max(0, rows - 1)]
    texts = [(format_decimal(row.price, price_exp), format_decimal(row.size, size_exp)) for row in shown]
    prices, sizes = (max((len(pair[at]) for pair in texts), default=0) for at in (0, 1))
    digits = 12 if width >= prices + sizes + 17 else 8
    for row, (price, size) in zip(shown, texts, strict=True):
        line = Line((f"  {clock(row.recv_ns)[:digits]} ", "dim"), (f"{price:>{prices}}", SIDE_STYLES[row.side]))
        lines.append(line.add(f" {size:>{sizes}}").to(width))
    return lines


def tape_width(picture: BookPicture) -> int:
    """Columns the tape needs with times to the second; 0 without a trade."""
    if not picture.tape or picture.figures is None:
        return 0
    price_exp, size_exp = picture.figures.scale
    prices = max(len(format_decimal(row.price, price_exp)) for row in picture.tape)
    return 13 + prices + max(len(format_decimal(row.size, size_exp)) for row in picture.tape)


def chart(mids: Sequence[Mid], width: int, rows: int, end_ns: int) -> list[Line]:
    """The mid as it went: a sparkline of a minute at most where there is one row, else dots of five."""
    known_ns = end_ns - mids[0].recv_ns if mids else 0
    seconds = next((one for one in SPARK_SECONDS if one * SECOND >= known_ns), SPARK_SECONDS[-1])
    seconds = min(seconds, SPARK_MOST[rows > 1])
    known = [mid.price for mid in mids if mid.recv_ns > end_ns - seconds * SECOND]
    low, high = min(known, default=Fraction(0)), max(known, default=Fraction(0))
    if not known:
        return [Line((f" mid {_ago(seconds)}: nothing yet", "dim")).to(width)] + [Line().to(width)] * (rows - 1)
    digits = _digits(known)
    marks = [decimals(price, digits) for price in (low, high)]
    label = max(map(len, marks))
    if rows == 1:
        left, right = Line((f" mid {_ago(seconds)} {marks[0]} ", "dim")), Line((f" {marks[1]} ", "dim"))
        room = max(1, width - left.width - right.width)
        points = _points(mids, room, seconds, end_ns)
        text = "".join(" " if point is None else SPARKS[_level(point, low, high, 8)] for point in points)
        return [left.add(text, "cyan").extend(right).to(width)]
    room = max(2, width - label - 3)
    points = _points(mids, room * 2, seconds, end_ns)
    levels = [None if point is None else _level(point, low, high, rows * 4) for point in points]
    return [
        Line((f" {_edge(row, rows, marks, seconds):>{label}} ", "dim"), (_dots(levels, rows - 1 - row), "cyan")).to(
            width
        )
        for row in range(rows)
    ]


def _edge(row: int, rows: int, marks: list[str], seconds: int) -> str:
    if row == 0:
        return marks[1]
    return marks[0] if row == rows - 1 else f"mid {_ago(seconds)}" if row == rows // 2 else ""


def _ago(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds > 60 else f"{seconds} s"


def _points(mids: Sequence[Mid], count: int, seconds: int, end_ns: int) -> list[Fraction | None]:
    """The last mid of each of `count` stretches of time; of the one before where there is none."""
    found: list[Fraction | None] = [None] * count
    start_ns = end_ns - seconds * SECOND
    before: Fraction | None = None
    for recv_ns, price in mids:
        at = (recv_ns - start_ns) * count // (seconds * SECOND)
        if at < 0:
            before = price
        else:
            found[min(at, count - 1)] = price
    for at, price_here in enumerate(found):
        before = found[at] = before if price_here is None else price_here
    return found


def _level(price: Fraction, low: Fraction, high: Fraction, levels: int) -> int:
    if high == low:
        return levels // 2
    return max(0, min(levels - 1, int((price - low) * levels / (high - low))))


def _dots(levels: Sequence[int | None], row: int) -> str:
    """A row of braille: two points a cell, four levels a row, from below. A step between two points is drawn."""
    cells = [0] * (len(levels) // 2)
    first, last = row * 4, row * 4 + 3
    before: int | None = None
    for at, level in enumerate(levels[: 2 * len(cells)]):
        if level is not None:
            low = high = level
            if before is not None and before < low:
                low = before
            elif before is not None:
                high = before
            if low <= last and high >= first:
                for dot in range(max(low, first), min(high, last) + 1):
                    cells[at // 2] |= DOTS[at % 2][dot - first]
        before = level
    return "".join(chr(0x2800 + cell) if cell else " " for cell in cells)


def _digits(prices: Sequence[Fraction]) -> int:
    """Decimal digits that the prices need, at most 12."""
    bound = max(price.denominator for price in prices)
    return next((digits for digits in range(13) if 10**digits % bound == 0), 12)


def status(picture: BookPicture, width: int, badges: Sequence[Line] = ()) -> Line:
    """The soundness of what is shown, most telling first: a narrow screen drops the end."""
    parts = list(badges)
    figures = picture.figures
    if picture.at_ns is not None:
        parts.append(Line(("at ", "dim"), (f"{moment(picture.at_ns)} UTC", "bold")))
    elif picture.as_of_ns:
        parts.append(Line((f"as of {moment(picture.as_of_ns)} UTC", "dim")))
    gaps = count(picture.gaps, "gap")
    parts.append(Line((gaps, "bold red" if picture.gaps else "dim")))
    if picture.proven_depth is not None:
        parts.append(Line((f"best {picture.proven_depth:,} proven", "yellow")))
    if figures is not None:
        parts.append(Line((f"{decimals(figures.rate, 0)} msg/s", "dim")))
        if figures.age_ns is not None:
            parts.append(Line((f"age {span(max(0, figures.age_ns))}", "dim")))
        if figures.latency is not None:
            parts.append(Line((f"latency {span(figures.latency.median_ns)}", "dim")))
    if picture.last_seq != UNKNOWN:
        parts.append(Line((f"id {picture.last_seq}", "dim")))
    parts.append(Line((count(picture.records, "record"), "dim")))
    return Line((" ", "")).extend(words(parts, width - 1)).to(width)
