/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Workers: processes that are attached to some node and run functions of the test for
 * it, in this guest or in that of the node.
 *
 * A test itself stays in one process, as a process can be attached once only.
 * Everything that is to happen on another node, or in a second process of the
 * same one, is a function that a worker runs.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <sys/types.h>

struct dsm;
struct mailbox;

/* Runs in a worker; @arg is memory that the test and the worker share. */
typedef long (*job_fn)(struct dsm *dsm, void *arg);

#define WORKER_ARG_BYTES 65536

struct worker {
	pid_t pid;
	int sock;
	void *arg;
	struct mailbox *box; /* in another guest, instead of the first two */
};

/* @region NULL: does not attach.  0 or -errno, also that of the attachment. */
int worker_start(struct worker *w, unsigned int node, const char *region,
		 int flags);
int worker_post(struct worker *w, job_fn fn);
/* The job's result; -ETIMEDOUT, or -EPIPE if the worker died. */
long worker_wait(struct worker *w, unsigned int ms);
long worker_run(struct worker *w, job_fn fn);
/* Waits until it sleeps in the kernel. */
bool worker_sleeps(struct worker *w, const volatile int *entered);
/* By SIGKILL; what is in w->arg stays until worker_stop().  0 or -errno. */
int worker_kill(struct worker *w);
void worker_stop(struct worker *w);

/* Does it sleep in the kernel? */
bool process_sleeps(pid_t pid);

#endif /* WORKER_H */
