/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A suite between guests: each node is in a guest of its own, the tests are in that of
 * the first, and in each other one an agent, the same program, runs their workers.
 *
 * They meet in the memory that dsm-cluster gives its guests, see dsm-cluster(1).  It is
 * at one address everywhere, and the program is linked to one: so all pointers to the
 * one, and to the functions and static data of the other, mean the same everywhere.
 * Nobody can sleep on it in the kernel; who waits looks again and again.
 *
 * SUITE_GUEST in the environment is the node of this guest; if it is not there all nodes
 * are in this one, and nothing of this is used but shared_map().
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker.h"

struct counters;

/*
 * What a test and all its workers share, wherever they are: neither in the range nor
 * where ASLR puts anything.  Agents use what is before it.
 */
#define SHARED_ADDR 0x180000200000UL
#define SHARED_ROOM (2UL << 20)

/* Zeroes of at most SHARED_ROOM; once in a test, and before its workers start. */
bool shared_map(size_t bytes);

/* How many there are, with a node each; 1: all nodes are in this one. */
unsigned int guests(void);
/* Is the node in another guest? */
bool is_far(unsigned int node);

/* A turn of waiting for another process; *turns is 0 before the first. */
void wait_turn(unsigned int *turns);

/* For main(): in a guest other than the first all there is to do.  -1, or the status. */
int agent_main(void);

/* counters_read() of a node that is far. */
int far_counters(unsigned int node, uint64_t region, struct counters *out);

/* Workers that are far: as those of worker.h, to which @box belongs. */
int far_start(struct mailbox **box, unsigned int node, const char *region,
	      int flags);
void far_post(struct mailbox *box, job_fn fn);
long far_wait(struct mailbox *box, unsigned int ms);
void *far_arg(struct mailbox *box);
bool far_sleeps(struct mailbox *box);
int far_kill(struct mailbox *box);
void far_stop(struct mailbox *box);

#endif /* AGENT_H */
