# SPDX-License-Identifier: GPL-2.0-only
"""What the guests of dsm-cluster boot: a kernel and an initramfs."""

import lzma
import os
import re
import secrets
import shlex
import signal
import stat
import subprocess

from cluster_base import BUILD, HERE, ClusterError, find_program

# What a guest loads, with all that these depend on.  virtio_console comes
# first: it carries the channel to us.  rxe asks for its checksum by name only.
# The last two are for RDMA from user space: a selftest plays a peer.
MODULES = ("virtio_pci virtio_console virtio_net dummy configfs crc32_generic "
           "sha256_generic hmac rdma_cm rdma_rxe ib_uverbs rdma_ucm").split()



class Kernel:
    """What tools/dsm-kernel says about a kernel."""

    def __init__(self, name):
        facts = dict(line.split("=", 1) for line in self.provide(name).splitlines())
        self.release = facts["release"]
        self.image = facts["image"]
        self.modules = facts["modules"]
        self.is_debug = self.release.endswith("-dsm-debug")
        self.files = {}
        for top, _, names in os.walk(self.modules):
            for name in names:
                base, dot, rest = name.partition(".ko")
                if dot and rest in ("", ".xz"):
                    path = os.path.join(top, name)
                    self.files[base.replace("-", "_")] = path
        with open(os.path.join(self.modules, "modules.builtin")) as builtin:
            self.builtin = {os.path.basename(line.strip())[:-3].replace("-", "_")
                            for line in builtin}

    @staticmethod
    def provide(name):
        """May download or build; what that started ends with us."""
        with subprocess.Popen([os.path.join(HERE, "dsm-kernel"), name], text=True,
                              stdout=subprocess.PIPE, start_new_session=True) as run:
            try:
                facts, _ = run.communicate()
            except BaseException:
                os.killpg(run.pid, signal.SIGTERM)
                raise
        if run.returncode:
            raise ClusterError(f"no kernel '{name}'")
        return facts

    def in_load_order(self, names, done=None):
        """Paths of modules, each after what it depends on."""
        done = {} if done is None else done
        for name in names:
            if name in done or name in self.builtin:
                continue
            if name not in self.files:
                raise ClusterError(f"{self.release} has no module {name}")
            depends = subprocess.check_output(
                [find_program("modinfo"), "-F", "depends", self.files[name]], text=True)
            self.in_load_order([d.replace("-", "_") for d in
                                depends.strip().split(",") if d], done)
            done[name] = self.files[name]
        return list(done.values())


class Initramfs:
    """A cpio archive ("newc") written into a memfd."""

    def __init__(self):
        self.fd = os.memfd_create("dsm-initramfs")
        self.out = os.fdopen(self.fd, "wb", buffering=1 << 20)
        self.names = set()
        self.inode = 0

    def entry(self, name, mode, data=b"", size=None):
        """One header; the caller writes the content if SIZE is given."""
        if name in self.names:
            return False
        self.names.add(name)
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        self.inode += 1
        encoded = os.fsencode(name) + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data) if size is None else size,
                  0, 0, 0, 0, len(encoded), 0]
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + encoded)
        self.out.write(bytes(-(110 + len(encoded)) % 4))
        if size is None:
            self.out.write(data + bytes(-len(data) % 4))
        return True

    def directory(self, name):
        self.entry(name, stat.S_IFDIR | 0o755)

    def symlink(self, name, target):
        self.entry(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def text(self, name, content, mode=0o644):
        self.entry(name, stat.S_IFREG | mode, content.encode())

    def file(self, name, path):
        with open(path, "rb") as source:
            status = os.fstat(source.fileno())
            mode = stat.S_IFREG | stat.S_IMODE(status.st_mode)
            # Only a size known in the header can be cut or padded to.
            if self.entry(name, mode, size=status.st_size):
                left = status.st_size
                while left:
                    block = source.read(min(left, 1 << 20))
                    if not block:
                        raise ClusterError(f"{path} shrank while it was read")
                    self.out.write(block)
                    left -= len(block)
                self.out.write(bytes(-status.st_size % 4))

    def tree(self, name, path, skip=()):
        """A directory with what is in it; symbolic links stay links."""
        self.directory(name)
        for top, dirs, files in os.walk(path):
            relative = os.path.relpath(top, path)
            below = name if relative == "." else os.path.join(name, relative)
            for item in sorted(dirs + files):
                source = os.path.join(top, item)
                target = os.path.join(below, item)
                if os.path.islink(source):
                    self.symlink(target, os.readlink(source))
                elif os.path.isdir(source):
                    self.directory(target)
                elif os.path.isfile(source) and not item.endswith(skip):
                    self.file(target, source)

    def program(self, name, path):
        """A dynamically linked program and its libraries."""
        self.file(name, path)
        self.libraries(path)

    def libraries(self, *paths):
        env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(BUILD, "user/lib"))
        listing = subprocess.run(["ldd", *paths], env=env, text=True, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        own = os.path.realpath(BUILD)
        for library in re.findall(r"(/\S+) \(0x", listing.stdout):
            if not os.path.realpath(library).startswith(own):
                self.file(library.lstrip("/"), os.path.realpath(library))

    def close(self):
        """The end mark; returns the archive's size."""
        self.entry("TRAILER!!!", 0)
        self.out.flush()
        return os.fstat(self.fd).st_size


def is_elf(path):
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def add_base(archive, kernel):
    """Busybox, the rdma tool, the kernel's modules and PID 1."""
    for name in ("proc sys dev tmp run root usr/sbin etc sys/kernel").split():
        archive.directory(name)
    busybox = find_program("busybox")
    archive.file("bin/busybox", busybox)
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        archive.symlink(f"bin/{applet}", "busybox")
    archive.program("usr/sbin/rdma", find_program("rdma"))
    archive.file("init", os.path.join(HERE, "guest-init"))
    archive.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                               "nobody:x:65534:65534:nobody:/:/bin/sh\n")
    archive.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    order = []
    for path in kernel.in_load_order(MODULES):
        name = os.path.basename(path).removesuffix(".xz")
        order.append(name)
        if path.endswith(".xz"):
            with lzma.open(path) as module:
                archive.entry(f"lib/modules/{name}", stat.S_IFREG | 0o644, module.read())
        else:
            archive.file(f"lib/modules/{name}", path)
    archive.text("etc/dsm/modules", "".join(name + "\n" for name in order))


def add_built_tree(archive, kernel, bare):
    """The module, the programs and the library, as /dsm."""
    archive.directory("dsm")
    module = os.path.join(BUILD, kernel.release, "dsm.ko")
    if os.path.exists(module):
        archive.file("dsm/dsm.ko", module)
    elif not bare:
        raise ClusterError(f"no dsm.ko for {kernel.release} in {BUILD}: run make, "
                           "or set DSM_BUILD")
    user = os.path.join(BUILD, "user")
    if os.path.isdir(user):
        archive.tree("dsm", user, skip=(".o", ".d", ".a", ".pc"))
        programs = [os.path.join(top, name) for top, _, names in os.walk(user)
                    for name in names if not name.endswith((".o", ".a"))]
        archive.libraries(*filter(is_elf, programs))


def cluster_file(options):
    """/etc/dsm.conf; what a guest's memory is to hold is divided by its nodes."""
    share = options.memory // (options.nodes if options.one_kernel else 1)
    lines = ["cluster demo", f"key {secrets.token_hex(32)}"]
    for node in range(1, options.nodes + 1):
        lines.append(f"node {node} addr 10.77.0.{node} "
                     f"memory {max(share // 4 * 2, 2)}M "
                     f"cache {max(share // 16 * 2, 2)}M")
    return "".join(line + "\n" for line in lines)


def build_initramfs(options, kernel):
    archive = Initramfs()
    add_base(archive, kernel)
    add_built_tree(archive, kernel, options.bare)
    if options.dir:
        archive.tree("data", options.dir)
    if not options.memory:
        # The archive is in memory twice while it is unpacked.
        archive.out.flush()
        options.memory = default_memory(options, kernel)
        options.memory += 2 * os.fstat(archive.fd).st_size >> 20
    archive.text("etc/dsm.conf", cluster_file(options), 0o600)
    archive.text("etc/dsm/env", f"export DSM_NODES={options.nodes}\n"
                                f"BARE={int(options.bare)}\n")
    archive.text("etc/dsm/command", "#!/bin/sh\nexec " + shlex.join(options.command) +
                 "\n", 0o755)
    archive.close()
    return archive


def default_memory(options, kernel):
    """MiB for a guest before what the initramfs takes."""
    base = 1024 if kernel.is_debug else 256
    return base + 256 * options.nodes if options.one_kernel else base
