# SPDX-License-Identifier: GPL-2.0-only
"""A guest of dsm-cluster: QEMU, and the channels to what runs in it."""

import collections
import ctypes
import functools
import mmap
import os
import re
import selectors
import signal
import socket
import subprocess
import time

from cluster_base import ClusterError, die_with_parent, find_program

CONSOLE_LINES = 4000
CONSOLE_TAIL_LINES = 40
CONSOLE_REPORT_LINES = 150

# QEMU 7.2 may leave an operand in the flags after CMPXCHG16B, which the guest's
# slab allocator uses: with NT set another process gets a general protection fault
# when it returns from a page fault, with VM set the guest dies of a double fault.
TCG_CPU = "max,-cx16"

# What the guests of a cluster share, for programs that are to meet without dsm.
SHARED_BYTES = 4 << 20


class Stream:
    """One end of a channel: gives each line that arrives to a function."""

    def __init__(self, selector, source, give):
        self.selector = selector
        self.source = source
        self.give = give
        self.rest = b""
        self.ended = False
        os.set_blocking(source.fileno(), False)
        selector.register(source, selectors.EVENT_READ, self)

    def read(self):
        """Take what is there; False at the end."""
        if self.ended:
            return False
        try:
            data = os.read(self.source.fileno(), 1 << 16)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.give(line)
        if data:
            return True
        if self.rest:
            self.give(self.rest)
        self.ended = True
        self.selector.unregister(self.source)
        self.source.close()
        return False


def have_kvm():
    """Some hosts have a /dev/kvm that cannot run a stock kernel."""
    with open("/proc/cpuinfo") as cpuinfo:
        if not re.search(r"^flags.*\b(vmx|svm)\b", cpuinfo.read(), re.M):
            return False
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    return True


def has_steady_tsc():
    """May a guest trust the TSC it is shown, which under TCG is the host's?"""
    with open("/proc/cpuinfo") as cpuinfo:
        flags = cpuinfo.read()
    return "constant_tsc" in flags and "nonstop_tsc" in flags


# rdtsc; shl $32, %rdx; or %rdx, %rax; ret
READ_TSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")


@functools.lru_cache
def tsc_khz():
    """The rate of the host's TSC.  A guest that measures it while the host is busy
    has a clock that may be five times too fast.  0, as if not given, where no code
    can be made."""
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE |
                         mmap.PROT_EXEC)
    except OSError:
        return 0
    code.write(READ_TSC)
    read_tsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(
        ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def sample():
        """Clock and TSC at one time: of several tries the least disturbed."""
        tries = []
        for _ in range(10):
            before = time.monotonic_ns()
            ticks = read_tsc()
            after = time.monotonic_ns()
            tries.append((after - before, (before + after) // 2, ticks))
        return min(tries)[1:]

    start, start_ticks = sample()
    time.sleep(0.1)
    end, end_ticks = sample()
    return round((end_ticks - start_ticks) * 1e6 / (end - start))


def make_shared_memory():
    """Zeroes, as long as somebody has the descriptor."""
    fd = os.memfd_create("dsm-shared")
    os.truncate(fd, SHARED_BYTES)
    return fd


class Guest:
    """One QEMU and the nodes in it."""

    def __init__(self, cluster, nodes):
        self.cluster = cluster
        self.nodes = nodes
        self.name = str(nodes[0]) if len(nodes) == 1 else f"{nodes[0]}-{nodes[-1]}"
        self.process = None
        self.statuses = {}
        self.console = collections.deque(maxlen=CONSOLE_LINES)
        self.boots = 0
        self.state = "off"

    def boot(self):
        """off -> booting"""
        cluster = self.cluster
        self.boots += 1
        self.state = "booting"
        self.statuses = {}
        self.console.clear()
        self.deadline = time.monotonic() + cluster.boot_seconds
        fds = [cluster.initramfs.fd]
        self.streams = []
        args = [find_program("qemu-system-x86_64"), "-nodefaults",
                "-no-user-config", "-display", "none", "-no-reboot", "-M", "q35",
                "-cpu", "max" if cluster.kvm else TCG_CPU,
                "-accel", "kvm" if cluster.kvm else "tcg",
                "-smp", "2" if cluster.options.one_kernel else "1,maxcpus=2",
                "-m", str(cluster.options.memory),
                "-kernel", cluster.kernel.image,
                "-initrd", f"/proc/self/fd/{cluster.initramfs.fd}",
                "-append", self.command_line(),
                "-device", "virtio-serial-pci"]

        def channel(name, give):
            ours, theirs = socket.socketpair()
            fds.append(theirs.detach())
            args.extend(["-chardev", f"socket,id={name},fd={fds[-1]}"])
            self.streams.append(Stream(cluster.selector, ours, give))
            return ours

        channel("console", self.console.append)
        args.extend(["-serial", "chardev:console"])
        self.control = channel("control", self.handle)
        args.extend(["-device", "virtserialport,chardev=control,name=control"])
        for node in self.nodes:
            name = f"out.{node}"
            channel(name, lambda line, node=node: cluster.output(node, line))
            args.extend(["-device", f"virtserialport,chardev={name},name={name}"])
        # Its users need atomic instructions that are atomic between guests, too.  The
        # emulation takes the trouble only where a guest can have two processors.
        if cluster.shared_fd is not None:
            fds.append(os.dup(cluster.shared_fd))
            args.extend(["-object", "memory-backend-file,id=shared,share=on,"
                         f"mem-path=/proc/self/fd/{fds[-1]},size={SHARED_BYTES}",
                         "-device", "ivshmem-plain,memdev=shared"])
        if cluster.switch:
            fds.append(cluster.switch.new_port().detach())
            args.extend(["-netdev", f"socket,id=net,fd={fds[-1]}", "-device",
                         f"virtio-net-pci,netdev=net,host_mtu=9000,romfile=,"
                         f"mac=52:54:00:d5:00:{self.nodes[0]:02x}"])
        try:
            self.process = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, pass_fds=fds, start_new_session=True,
                preexec_fn=die_with_parent)
        finally:
            for fd in fds[1:]:
                os.close(fd)
        self.streams.append(Stream(cluster.selector, self.process.stderr,
                                   self.console.append))
        self.pidfd = os.pidfd_open(self.process.pid)
        cluster.selector.register(self.pidfd, selectors.EVENT_READ, self)

    def command_line(self):
        node = "all" if self.cluster.options.one_kernel else self.nodes[0]
        words = ["console=ttyS0", "loglevel=5", "panic=-1", "rdinit=/init",
                 "random.trust_cpu=on", f"dsm.node={node}"]
        if self.boots > 1:
            words.append("dsm.back=1")
        # Else the guest reads its clock from the HPET, at 20 times the cost.
        if not self.cluster.kvm and has_steady_tsc():
            words += ["tsc=reliable", f"tsc_early_khz={tsc_khz()}"]
        return " ".join(words)

    def handle(self, line):
        """A line on the control port."""
        word, *args = line.decode(errors="replace").split() or [""]
        if word == "ready":
            self.advance("booting", "ready")
        elif word == "up":
            self.advance("linking", "up")
        elif word == "exit":
            self.statuses[int(args[0])] = int(args[1])
            if len(self.statuses) == (1 if self.cluster.options.bare else len(self.nodes)):
                self.advance("running", "ended")
        elif word == "failed":
            raise ClusterError(f"{self}: {' '.join(args)} failed\n{self.last_words()}")

    def advance(self, old, new):
        if self.state == old:
            self.state = new
            self.deadline = None
            self.cluster.proceed(self)

    def order(self, word, state, seconds=None):
        """Tell the guest's PID 1 to do something."""
        self.state = state
        self.deadline = time.monotonic() + seconds if seconds else None
        try:
            self.control.sendall(word.encode() + b"\n")
        except OSError:
            pass

    def kill(self):
        """any -> killed"""
        self.state = "killed"
        self.deadline = None
        self.process.kill()

    def exited(self):
        """QEMU has ended; what it wrote before is still in the sockets."""
        self.cluster.selector.unregister(self.pidfd)
        os.close(self.pidfd)
        self.process.wait()
        for stream in self.streams:
            while stream.read():
                pass
        state, self.state = self.state, "off"
        if state not in ("stopping", "killed"):
            raise ClusterError(f"{self} died unexpectedly (QEMU's status "
                               f"{self.process.returncode})\n{self.last_words()}")

    def last_words(self):
        """The console's end, or from where the kernel's last report begins."""
        lines = [line.decode(errors="replace").rstrip("\r") for line in self.console]
        start = max(0, len(lines) - CONSOLE_TAIL_LINES)
        for i in range(max(0, len(lines) - CONSOLE_REPORT_LINES), start):
            if re.search(r"BUG:|Oops|WARNING:|Kernel panic|general protection", lines[i]):
                start = i
                break
        return "".join(f"{self.name} console| {line}\n" for line in lines[start:])

    def __str__(self):
        return f"guest {self.name}"
