"""What a run set out to record and what the venue says to it: the plan on record, each refusal told, silence named.

Rule: answers are looked at behind their commit and beside the hot path, which knows nothing of them: only the frames of
the session's own stream come here, and those only while something is asked that has no answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from mdtool.capture.connection import Act, Requests
from mdtool.capture.coverage import Coverage
from mdtool.capture.options import Notify, RecorderEvent, RecordOptions, RecordStatus
from mdtool.capture.protocol import text
from mdtool.model import SESSION_SYMBOL
from mdtool.venues.subscribing import ANSWER_TIMEOUT, Conversation, Outcome, State
from mdtool.venues.venue import Connection, Wanted

LONGEST_ANSWER = 64 * 1024  # bytes of a frame that is looked at; the longest answers list what a connection carries
SILENCE = 60.0  # seconds after which a book that was acknowledged and has not sent a message is told
MOST_NAMED = 8  # subscriptions in a line

Note = Callable[[dict[str, object], str], None]  # what is to be put on record, and in the feed of which symbol
Odd = Callable[[str, BaseException], None]


class _Talk:
    """One session: what was asked and said on it, and what it can be told to send."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.act: Act | None = None
        self.quiet: dict[Wanted, float] = {}  # books acknowledged, of which no message has come, and since when


class Subscriptions:
    """The subscriptions of one run, over all of its connections. `seconds` is a monotonic clock; `refused` is told of
    each refusal, after it is on record."""

    def __init__(
        self, options: RecordOptions, status: RecordStatus, note: Note, notify: Notify, odd: Odd,
        seconds: Callable[[], float], refused: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self._options = options
        self._venue = options.venue
        self._status = status
        self._note = note
        self._notify = notify
        self._odd = odd
        self._seconds = seconds
        self._refused = refused
        self._talks: dict[int, _Talk] = {}
        self._begun: set[Connection] = set()
        self._seen: set[tuple[str | None, str]] = set()  # places of which a message has come
        self._coverage = Coverage(status)

    # -- the plan -----------------------------------------------------------------------------------------------------

    def begin(self, plan: Sequence[Connection]) -> None:
        """Put on record what is to be recorded, before anything is: of a venue that is never reached it is known all
        the same."""
        self._tell_plans(plan, self._options.symbols)

    def replan(self, options: RecordOptions, plan: Sequence[Connection], come: Sequence[str]) -> None:
        """Put on record that something else is to be recorded; symbols that come get theirs."""
        self._options = options
        self._begun &= set(plan)
        self._seen = {(symbol, stream) for symbol, stream in self._seen if symbol not in come}  # of an earlier stay
        self._tell_plans(plan, come)

    def _tell_plans(self, plan: Sequence[Connection], symbols: Sequence[str]) -> None:
        options = self._options
        self._note(
            {"note": "plan", "venue": options.venue.name, "symbols": options.symbols, "streams": options.streams},
            SESSION_SYMBOL,
        )
        streams: dict[str, dict[str, None]] = {symbol: {} for symbol in options.symbols}
        for connection in plan:
            for symbol, names in self._planned(connection).items():
                if symbol in streams:
                    streams[symbol].update(dict.fromkeys(names))
        self._coverage.plan(streams)
        self._tell_plan({symbol: list(streams[symbol]) for symbol in symbols})

    def _planned(self, connection: Connection) -> dict[str, list[str]]:
        """The streams of each symbol that a connection carries, as they are recorded. An adapter that does not say what
        its frames ask for is taken at the words of the plan."""
        try:
            requests = [request for frame in connection.send if (request := self._venue.asks(frame)) is not None]
        except Exception as error:  # noqa: BLE001 - the venue's code: it is recorded as it would be without that
            self._odd("cannot be told apart", error)
            requests = []
        if not requests:
            return {symbol: list(self._options.streams) for symbol in connection.symbols}
        found: dict[str, list[str]] = defaultdict(list)
        for wanted in (wanted for request in requests for wanted in request.wanted):
            if wanted.symbol is not None:
                found[wanted.symbol].append(wanted.placed)
        return found

    def _tell_plan(self, streams: dict[str, list[str]]) -> None:
        for symbol, names in streams.items():
            self._note({"note": "plan", "venue": self._venue.name, "streams": names}, symbol)

    # -- sessions -----------------------------------------------------------------------------------------------------

    def opened(self, connection: Connection, session: int) -> None:
        """A session begins. From the second one on it says the plan again: what the first said is removed with its part
        some day."""
        planned = self._planned(connection)
        if connection in self._begun:
            self._tell_plan(planned)
        self._begun.add(connection)
        self._coverage.opened(session, planned)
        self._talks[session] = _Talk(Conversation(self._venue))

    def attach(self, session: int, act: Act) -> None:
        """What has its frames sent."""
        if session in self._talks:
            self._talks[session].act = act

    def closed(self, session: int) -> None:
        self._talks.pop(session, None)
        self._coverage.closed(session)

    def sent(self, session: int, payload: bytes) -> None:
        """A frame went out on a session."""
        if (talk := self._talks.get(session)) is None:
            return
        try:
            talk.conversation.sent(payload.decode(), self._seconds())
        except Exception as error:  # noqa: BLE001 - the venue's code
            self._odd("cannot be told apart", error)

    def heard(self, session: int, payload: bytes) -> None:
        """A frame of the session's stream came on it, and is committed. Never raises but StoreFull."""
        talk = self._talks.get(session)
        if talk is None or not talk.conversation.waiting or len(payload) > LONGEST_ANSWER:
            return
        try:
            heard = talk.conversation.heard(payload)
        except Exception as error:  # noqa: BLE001 - the venue's code, on bytes that it was sent
            self._odd("cannot be read as an answer", error)
            return
        for outcome in heard.outcomes:
            self._learn(session, talk, outcome)
        if heard.again and talk.act is not None:
            talk.act(Requests(heard.again))

    def placed(self, symbol: str | None, stream: str) -> None:
        """The first message of a stream has come."""
        self._seen.add((symbol, stream))
        self._coverage.heard()

    def look(self) -> None:
        """Tell what is without an answer, or without a message, for too long; count what is there."""
        self._coverage.look(self._seen)
        now = self._seconds()
        for session, talk in list(self._talks.items()):
            late = [one.wanted for one in talk.conversation.overdue(now) if not self._has_come(one.wanted)]
            self._tell(
                session, late, State.UNANSWERED.value, RecorderEvent.UNANSWERED,
                f"no answer for {ANSWER_TIMEOUT:g} s to the subscription of",
            )  # fmt: skip
            self._status.unanswered += len(late)
            for wanted in late:
                for symbol in self._feeds([wanted]):
                    self._status.of(symbol).unanswered += 1
            quiet = [wanted for wanted, since in talk.quiet.items() if now - since >= SILENCE]
            for wanted in quiet:
                del talk.quiet[wanted]
            self._tell(
                session, [wanted for wanted in quiet if not self._has_come(wanted)], "silent", RecorderEvent.SILENT,
                f"acknowledged {SILENCE:g} s ago, and no message has come of",
            )  # fmt: skip

    def _has_come(self, wanted: Wanted) -> bool:
        return (wanted.symbol, wanted.placed) in self._seen

    def _learn(self, session: int, talk: _Talk, outcome: Outcome) -> None:
        wanted = outcome.wanted
        if outcome.state is State.ACKNOWLEDGED:
            self._status.acknowledged += 1
            if wanted.symbol is not None:
                self._coverage.acknowledged(session, (wanted.symbol, wanted.placed))
            if self._venue.is_book(wanted.placed) and not self._has_come(wanted):
                talk.quiet[wanted] = self._seconds()
            return
        self._status.refused += 1
        why = text(outcome.reason)
        told = f"{_name(wanted)}: refused by the venue: {why}"
        for symbol in self._feeds([wanted]):
            self._status.of(symbol).refused += 1
            self._note(
                {
                    "note": "refused",
                    "session": session,
                    "symbol": wanted.symbol,
                    "streams": [wanted.placed],
                    "why": why,
                },
                symbol,
            )
        self._notify(RecorderEvent.REFUSED, told)
        if self._refused is not None:
            self._refused(told)

    def _tell(self, session: int, found: Sequence[Wanted], word: str, event: RecorderEvent, line: str) -> None:
        if not found:
            return
        for symbol in self._feeds(found):
            of_it = [wanted for wanted in found if symbol in (SESSION_SYMBOL, wanted.symbol)]
            names = [wanted.placed for wanted in of_it] if symbol != SESSION_SYMBOL else [_name(one) for one in of_it]
            self._note({"note": word, "session": session, "streams": names}, symbol)
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        self._notify(event, f"{line} {', '.join(_name(wanted) for wanted in found[:MOST_NAMED])}{more}")

    def _feeds(self, found: Iterable[Wanted]) -> list[str]:
        """The feeds in which something of these is put on record."""
        named = [wanted.symbol for wanted in found if wanted.symbol in self._options.symbols]
        return list(dict.fromkeys([SESSION_SYMBOL, *(symbol for symbol in named if symbol is not None)]))


def _name(wanted: Wanted) -> str:
    return wanted.stream if wanted.symbol is None else f"{wanted.symbol} {wanted.stream}"
