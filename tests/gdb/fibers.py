"""fibers - list the fibers of a process or core file in gdb.

    gdb -x tests/gdb/fibers.py -p PID          (or: gdb -x ... PROGRAM CORE)
    (gdb) fibers                each fiber: address, state, name, where it waits
    (gdb) fibers bt             the same with a backtrace of each
    (gdb) fibers bt session     only those whose name contains "session"
    (gdb) fiber 0x7f...e40      gdb's frame commands (bt, up, info locals) now
                                see that fiber, below frame 0
    (gdb) fiber                 back to the thread

All threads that run fibers are looked at. Nothing in the process is changed:
an unwinder pretends that frame 0 was called from where the fiber parked, so it
works for the kernel's core files too (gdb's own "gcore" leaves out mappings
with guard pages in them, and so the stacks). gdb 12 or newer; x86-64.
"""

import gdb
import gdb.unwinder

SAVED = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]  # context_x86_64.S
GREGS = {"r12": 4, "r13": 5, "r14": 6, "r15": 7, "rbp": 10, "rbx": 11,
         "rsp": 15, "rip": 16}  # <sys/ucontext.h>
STATES = {"FIBER_READY": "ready", "FIBER_PARKED": "parked",
          "FIBER_ENDED": "ended"}


def word_at(address):
    word = gdb.lookup_type("unsigned long").pointer()
    return gdb.Value(address).cast(word).dereference()


def registers_of(fiber):
    """What the fiber goes on with: name of register -> value."""
    context = fiber["context"]
    if "sp" in [f.name for f in context.type.fields()]:
        sp = int(context["sp"]) + 8  # above mxcsr and x87 control word
        registers = {name: word_at(sp + 8 * i) for i, name in enumerate(SAVED)}
        registers["rsp"] = gdb.Value(sp + 8 * len(SAVED))
        return registers
    gregs = context["saved"]["uc_mcontext"]["gregs"]
    return {name: gregs[i] for name, i in GREGS.items()}


class FiberUnwinder(gdb.unwinder.Unwinder):
    """Makes a parked fiber the caller of a thread's innermost frame."""

    def __init__(self):
        super().__init__("postern-fiber")
        self.registers = None
        self.innermost = None

    def show(self, fiber):
        self.registers = None
        gdb.invalidate_cached_frames()
        if fiber is not None:
            frame = gdb.newest_frame()
            self.innermost = [int(frame.read_register(r)) for r in
                              ("rsp", "rip")]
            self.registers = registers_of(fiber)
            gdb.invalidate_cached_frames()

    def __call__(self, pending):
        if self.registers is None:
            return None
        at = [int(pending.read_register(r)) for r in ("rsp", "rip")]
        if at != self.innermost:
            return None
        frame_id = FrameId(self.registers["rsp"], pending.read_register("rip"))
        info = pending.create_unwind_info(frame_id)
        for name, value in self.registers.items():
            like = pending.read_register(name)
            info.add_saved_register(name, gdb.Value(int(value)).cast(like.type))
        return info


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


UNWINDER = FiberUnwinder()
gdb.unwinder.register_unwinder(None, UNWINDER, True)


def entries(head, kind, member):
    """The elements of a struct list (lib/base/list.h)."""
    kind = gdb.lookup_type(kind)
    offset = [f.bitpos // 8 for f in kind.fields() if f.name == member][0]
    at = head["next"]
    while int(at) != int(head.address):
        yield gdb.Value(int(at) - offset).cast(kind.pointer()).dereference()
        at = at["next"]


def scheduler_of_thread():
    """Of the selected thread; from its stack where gdb cannot read TLS (cores)."""
    try:
        return gdb.parse_and_eval("'lib/io/sched.c'::here")
    except gdb.error:
        pass
    kind = gdb.lookup_type("struct fiber").pointer()
    frame = gdb.newest_frame()
    while frame is not None:
        try:
            if frame.name() in ("turn", "poll_events", "sched_run"):
                return frame.read_var("s")
            if frame.name() == "run" and frame.older().name() == "context_start":
                return frame.read_var("arg").cast(kind)["sched"]
        except (gdb.error, ValueError, AttributeError):
            pass
        frame = frame.older()
    return 0


def schedulers():
    """(thread, its struct sched) of each thread that has one."""
    selected = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        sched = scheduler_of_thread()
        if int(sched) != 0:
            yield thread, sched.dereference()
    selected.switch()


def backtrace():
    """Of the shown fiber, without the frame that it does not have."""
    lines = gdb.execute("bt", to_string=True).splitlines()
    return [line for line in lines if not line.startswith("#0 ")]


def place(fiber, lines):
    """The innermost frame outside of lib/io, or the function it began with."""
    for line in lines:
        if " at lib/io/" not in line and " in " in line and "??" not in line:
            return line.split(" in ", 1)[1]
    return str(fiber["fn"]).split(" ", 1)[-1]


def list_fibers(with_backtrace, wanted):
    for thread, sched in schedulers():
        print("thread %d: %d fibers" % (thread.num, int(sched["count"])))
        for fiber in entries(sched["fibers"], "struct fiber", "all"):
            name = fiber["name"].string()
            if wanted not in name:
                continue
            if int(fiber.address) == int(sched["running"]):
                print("  %#x running   %s" % (int(fiber.address), name))
                continue
            thread.switch()
            UNWINDER.show(fiber)
            lines = backtrace()
            UNWINDER.show(None)
            state = STATES.get(str(fiber["state"]), str(fiber["state"]))
            if fiber["cancelled"]:
                state += ", cancelled"
            print("  %#x %-9s %s: %s" % (int(fiber.address), state, name,
                                         place(fiber, lines)))
            if with_backtrace:
                print("\n".join("      " + line for line in lines))


class Fibers(gdb.Command):
    """List fibers: fibers [bt] [NAME]"""

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        with_backtrace = words[:1] == ["bt"]
        list_fibers(with_backtrace, "".join(words[1 if with_backtrace else 0:]))


class Fiber(gdb.Command):
    """Look at one fiber: fiber ADDRESS; back to the thread: fiber"""

    def __init__(self):
        super().__init__("fiber", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if not argument:
            UNWINDER.show(None)
            return
        kind = gdb.lookup_type("struct fiber").pointer()
        fiber = gdb.parse_and_eval(argument).cast(kind).dereference()
        thread = [t for t, sched in schedulers()
                  if int(sched.address) == int(fiber["sched"])]
        if thread:
            thread[0].switch()
        UNWINDER.show(fiber)
        gdb.execute("frame 1")


Fibers()
Fiber()
