"""One schedule: threads that run one at a time, and a clock that moves when all of them wait.

An actor is a thread of a process of the service.  Before every call of a port it stops in
:meth:`Schedule.step`, which decides which actor goes on.  Each decision has a number; a plan
determines what happens at some of them instead of the default (the present actor goes on and
nothing fails), so that a plan is a schedule that can be printed and replayed.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence

#: What an actor is about to do.
READ, WRITE, PUBLISH, DELETE, GET, SOURCE, WAKE = (
    "read",
    "write",
    "publish",
    "delete",
    "get",
    "source",
    "wake",
)

#: The process crashes: none of its threads goes on.
CRASH = "crash"
#: The whole process stands still while others go on, and comes back.
PAUSE = "pause"
#: The thread waits for as long; the process gives signs of life.
SLOW = "slow"
#: The thread waits for as long, and no sign of life of the process arrives.
MUTE = "mute"
#: The call takes effect; then the process stands still before it hears of it.
LATE = "late"
#: The call fails and has no effect.
FAIL = "fail"
#: The outcome of a transaction is unknown: it was committed, never is, or is committed later.
#: Of an object: the store reports an error, and the object is there, or appears later.
UNKNOWN_DONE, UNKNOWN_LOST, UNKNOWN_LATER = "done?", "lost?", "later?"
#: The object was removed, and the answer was lost.
DONE_FAIL = "done-fail"

#: What may happen instead of a plain call, by what the call is.
FAULTS: Mapping[str, Sequence[str]] = {
    WRITE: (CRASH, PAUSE, LATE, UNKNOWN_DONE, UNKNOWN_LATER, UNKNOWN_LOST, FAIL, MUTE, SLOW),
    PUBLISH: (CRASH, PAUSE, LATE, FAIL, UNKNOWN_DONE, UNKNOWN_LATER, MUTE, SLOW),
    DELETE: (CRASH, PAUSE, LATE, FAIL, DONE_FAIL),
    SOURCE: (PAUSE, SLOW),
    READ: (PAUSE, FAIL),
    GET: (FAIL,),
    WAKE: (),
}
#: These happen to the process, and the call is made afterwards or never.
_PROCESS_FAULTS = frozenset({CRASH, PAUSE, SLOW, MUTE})

#: Seconds for which a process stands still: longer than a lease.
PAUSE_SECONDS = 60.0
#: Seconds after which a write whose outcome was unknown is done.
DELIVERY_SECONDS = 20.0
#: So many decisions, and it is called endless.
MAX_DECISIONS = 3000

#: By decision: ("switch", name of an actor) or (a fault,).
Plan = Mapping[int, tuple[str, ...]]


class ProcessCrashed(SystemExit):
    """The process of this thread is dead: every port refuses everything."""


class DecisionLimitExceeded(Exception):
    """A schedule does not come to an end."""


@dataclasses.dataclass(eq=False, slots=True)
class Process:
    """A process of the service.

    ``needs_heartbeat`` is true when its heartbeat thread has something to do.
    """

    name: str
    needs_heartbeat: Callable[[], bool] = lambda: False
    is_dead: bool = False
    muted_until: float = 0.0
    #: It is not what it would be had nothing been injected into it.
    had_faults: bool = False


class Actor:
    """A thread of a process, or (without one) a write that is on its way to the database."""

    def __init__(
        self,
        name: str,
        process: Process,
        run: Callable[[], object],
        daemon: bool = False,
        is_heartbeat: bool = False,
    ) -> None:
        self.name = name
        self.process = process
        self.run = run
        #: A schedule does not wait for it.
        self.is_daemon = daemon
        self.is_heartbeat = is_heartbeat
        self.is_done = False
        #: The time at which it goes on, None when it can now.
        self.wake: float | None = None
        self.kind, self.label = WAKE, "begins"
        self.fault: str | None = None
        self.worker: Worker | None = None
        self.is_delivery = False

    def __repr__(self) -> str:
        return self.name


class Worker:
    """A thread that runs one actor after the other."""

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.schedule: Schedule | None = None
        self.actor: Actor | None = None
        self.thread = threading.Thread(target=self._run, daemon=True, name="explorer")
        self.thread.start()

    def _run(self) -> None:
        while True:
            self.gate.acquire()
            schedule, actor = self.schedule, self.actor
            if schedule is None or actor is None:
                return
            schedule.run_actor(actor)


class Workers:
    """The threads, kept from one schedule to the next."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def take(self) -> Worker:
        """A thread that has nothing to do."""
        return self._idle.pop() if self._idle else Worker()

    def release(self, worker: Worker) -> None:
        """The thread waits at its gate again."""
        worker.schedule = worker.actor = None
        self._idle.append(worker)


class Schedule:
    """The execution of a plan.

    :param plan: what happens instead of the default, by the number of the decision.
    :param check: called after every step that may have changed something.
    :param choose: asked at each decision that the plan does not name; for random schedules.
    """

    def __init__(
        self,
        workers: Workers,
        plan: Plan = {},  # noqa: B006 (never changed)
        check: Callable[[], None] = lambda: None,
        choose: Callable[[int, Actor, Schedule], tuple[str, ...] | None] | None = None,
    ) -> None:
        self._workers = workers
        self._plan = plan
        self._check = check
        self._choose = choose
        self.now = 1000.0
        self.actors: list[Actor] = []
        self.decisions = 0
        self.steps = 0
        #: What was injected: (decision, what), and the description of each decision.
        self.injected: list[tuple[int, tuple[str, ...]]] = []
        self.log: list[str] | None = None
        #: At each decision: kind and label of the next step, and the other actors that could go on.
        self.choices: list[tuple[str, str, tuple[str, ...]]] = []
        self.active = False
        self.failure: BaseException | None = None
        self._current: Actor | None = None
        self._preferred: Actor | None = None
        self._finished = threading.Lock()
        self._finished.acquire()
        self._unwinding = False
        self._sequence = itertools.count(1)

    # ------------------------------------------------------------ from outside

    def add(self, actor: Actor, at: float | None = None) -> Actor:
        """One more actor, which begins at once or at a time."""
        actor.wake = at
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        """Run all actors until those that are no daemons have ended or died."""
        self.active = True
        try:
            for actor in self.actors:
                self._assign_worker(actor)
            following = self._decide()
            if following is not None:
                self._resume(following)
                self._finished.acquire()
            self._unwind()
        finally:
            self.active = False
            self._current = None
            for actor in self.actors:
                if actor.worker is not None:
                    self._workers.release(actor.worker)
                    actor.worker = None
        if self.failure is not None:
            raise self.failure

    def _assign_worker(self, actor: Actor) -> None:
        worker = actor.worker = self._workers.take()
        worker.schedule, worker.actor = self, actor

    def _unwind(self) -> None:
        """Let the threads of what never goes on end; no port does anything for them."""
        self._unwinding = True
        for actor in self.actors:
            if not actor.is_done and not actor.is_delivery:
                self._resume(actor)
                self._finished.acquire()

    # ------------------------------------------------------------ in the threads of actors

    def run_actor(self, actor: Actor) -> None:
        """The life of an actor, in its thread."""
        try:
            if not self._unwinding:
                actor.run()
        except ProcessCrashed:
            pass
        except BaseException as error:
            self.failure = self.failure or error
        actor.is_done = True
        if self._unwinding:
            self._finished.release()
            return
        self.note(f"{actor.name} has ended")
        following = self._next()
        if following is None:
            self._finished.release()
        else:
            self._resume(following)

    def step(self, kind: str, label: str) -> str | None:
        """Wait until this actor may do what it is about to do.

        :returns: the fault with which it happens, if any.
        """
        actor = self._current
        if actor is None or self._must_stop(actor):
            raise ProcessCrashed
        actor.kind, actor.label = kind, label
        self._yield(actor)
        fault, actor.fault = actor.fault, None
        if fault == FAIL or actor.is_heartbeat and actor.process.muted_until > self.now:
            fault = FAIL
        return fault

    def sleep(self, seconds: float) -> None:
        """Let time pass for this actor."""
        actor = self._current
        if actor is None:
            self.now += seconds
            return
        if self._must_stop(actor):
            raise ProcessCrashed
        actor.wake = self.now + seconds
        actor.kind, actor.label = WAKE, f"waited {seconds:g} s"
        self._yield(actor)

    def pause_process(self) -> None:
        """The process of this actor stands still after what it did."""
        actor = self._current
        if actor is None:
            return
        self._stop(actor, PAUSE)
        actor.kind, actor.label = WAKE, "hears of it"
        self._yield(actor)

    def deliver_later(self, what: str, run: Callable[[], object]) -> None:
        """Have a write of this actor delivered later, by the database."""
        by = self._current.name if self._current else "?"
        name = f"write{next(self._sequence)}"
        actor = Actor(name, Process(name), run)
        actor.is_delivery = True
        actor.kind, actor.label = WRITE, f"{what} of {by}, on its way"
        self.add(actor, self.now + DELIVERY_SECONDS)

    def changed(self) -> None:
        """Something was changed: check what must hold after every step."""
        if not self.active or self._unwinding or self.failure is not None:
            return
        try:
            self._check()
        except Exception as error:
            # Not through the code under test, which might take it for an error of its own.
            self.failure = error
            raise ProcessCrashed from error

    @property
    def current(self) -> Actor | None:
        """The actor that runs now."""
        return self._current

    def note(self, line: str) -> None:
        """A line for the trace."""
        if self.log is not None:
            self.log.append(f"{self.now - 1000.0:7.1f}          {line}")

    def _yield(self, actor: Actor) -> None:
        following = self._next()
        if following is actor:
            return
        if following is None:
            self._finished.release()
        else:
            self._resume(following)
        if actor.worker is not None:
            actor.worker.gate.acquire()
        if self._must_stop(actor):
            raise ProcessCrashed

    def _must_stop(self, actor: Actor) -> bool:
        return self._unwinding or actor.process.is_dead or self.failure is not None

    def _resume(self, actor: Actor) -> None:
        self._current = actor
        if actor.worker is None:
            self._assign_worker(actor)
        if actor.worker is not None:
            actor.worker.gate.release()

    def _next(self) -> Actor | None:
        """The actor that goes on; None when the schedule is over."""
        try:
            following = self._decide()
        except BaseException as error:
            self.failure = self.failure or error
            following = None
        self._current = following
        return following

    # ------------------------------------------------------------ decisions

    def _decide(self) -> Actor | None:
        while True:
            if self.failure is not None:
                return None
            actor = self._default()
            if actor is None:
                return None
            number = self.decisions
            self.decisions += 1
            if number > MAX_DECISIONS:
                raise DecisionLimitExceeded(f"No end after {number} decisions")
            chosen = self._plan.get(number)
            if chosen is None and self._choose is not None:
                chosen = self._choose(number, actor, self)
            others = self.others(actor)
            self.choices.append((actor.kind, actor.label, others))
            if chosen is not None:
                self.injected.append((number, chosen))
                self._describe(number, actor, chosen)
                if self._apply(actor, chosen):
                    continue
            else:
                self._describe(number, actor, None)
            self.steps += 1
            if actor.is_delivery:
                actor.is_done = True
                actor.run()
                self.changed()
                self._preferred = None
                continue
            self._preferred = actor
            return actor

    def _apply(self, actor: Actor, chosen: tuple[str, ...]) -> bool:
        """Apply a decision of the plan; True when the actor must be chosen again."""
        what = chosen[0]
        if what == "switch":
            for other in self.actors:
                if other.name == chosen[1] and not other.is_done and not other.process.is_dead:
                    self._wake_up(other)
                    self._preferred = other
            return True
        if what in _PROCESS_FAULTS:
            self._stop(actor, what)
            return True
        actor.process.had_faults = True
        actor.fault = what
        return False

    def _stop(self, actor: Actor, what: str) -> None:
        process, until = actor.process, self.now + PAUSE_SECONDS
        process.had_faults = True
        self._preferred = None
        if what == CRASH:
            process.is_dead = True
        elif what == PAUSE:
            for each in self.actors:
                if each.process is process:
                    each.wake = until if each.wake is None else max(each.wake, until)
        else:
            actor.wake = until
            if what == MUTE:
                process.muted_until = until

    def _wake_up(self, actor: Actor) -> None:
        for each in self.actors:
            if each is actor:
                each.wake = None
            elif each.process is actor.process and each.is_heartbeat and each.wake is not None:
                each.wake = min(each.wake, self.now + 5.0)

    def _default(self) -> Actor | None:
        """The actor that goes on without the plan: the present one, or the one that wakes first."""
        focus = self._preferred
        if focus is not None and self._is_ready(focus):
            return focus
        while True:
            waiting = False
            earliest: Actor | None = None
            for actor in self.actors:
                if actor.is_done or actor.process.is_dead:
                    continue
                if not actor.is_daemon:
                    waiting = True
                if actor.wake is None:
                    return actor
                if actor.is_heartbeat and not actor.process.needs_heartbeat():
                    continue
                if earliest is None or actor.wake < (earliest.wake or 0.0):
                    earliest = actor
            if not waiting or earliest is None:
                return None
            self.now = max(self.now, earliest.wake or 0.0)
            earliest.wake = None
            return earliest

    @staticmethod
    def _is_ready(actor: Actor) -> bool:
        return not actor.is_done and not actor.process.is_dead and actor.wake is None

    def others(self, actor: Actor) -> tuple[str, ...]:
        """The names of the actors that could go on instead."""
        return tuple(
            other.name
            for other in self.actors
            if other is not actor
            and not other.is_done
            and not other.process.is_dead
            and not (other.is_heartbeat and not other.process.needs_heartbeat())
        )

    def _describe(self, number: int, actor: Actor, chosen: tuple[str, ...] | None) -> None:
        if self.log is None:
            return
        what = "" if chosen is None else f"   <== {' '.join(chosen)}"
        self.log.append(
            f"{self.now - 1000.0:7.1f} {number:5d}    {actor.name:10s} "
            f"{actor.kind:8s} {actor.label}{what}"
        )


def format_plan(plan: Plan) -> str:
    """A plan as one word, for ``--replay``."""
    return ",".join(f"{number}:{':'.join(what)}" for number, what in sorted(plan.items())) or "-"


def parse_plan(text: str) -> dict[int, tuple[str, ...]]:
    """The plan that :func:`format_plan` wrote.

    :raises ValueError: it is none.
    """
    plan: dict[int, tuple[str, ...]] = {}
    for each in text.split(",") if text not in ("", "-") else ():
        number, _, what = each.partition(":")
        plan[int(number)] = tuple(what.split(":"))
    return plan
