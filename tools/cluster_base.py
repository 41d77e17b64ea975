# SPDX-License-Identifier: GPL-2.0-only
"""What all parts of dsm-cluster use."""

import ctypes
import os
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
BUILD = os.environ.get("DSM_BUILD", os.path.join(os.path.dirname(HERE), "build"))


class ClusterError(Exception):
    """The cluster, not the command, failed."""


def say(text):
    """Progress and complaints, beside the nodes' output."""
    sys.stderr.write(f"dsm-cluster: {text}\n")
    sys.stderr.flush()


def die_with_parent():
    """In a child: SIGKILL when the parent is gone."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def find_program(name):
    """The path of a program that a Debian package must have brought."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin:/bin")
    if not path:
        raise ClusterError(f"{name} is not installed: run make deps")
    return path
