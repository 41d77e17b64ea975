/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites share: probing an address for a signal, counter deltas,
 * regions of a test, and by the headers below workers, and the guests they are in.
 */
#ifndef HELPER_H
#define HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/dsm.h>

#include "agent.h"
#include "dsm.h"
#include "worker.h"

/* The cluster that common.sh configures. */
enum {
	NODE_HOME = 1,
	NODE_PEER = 2,
	NODE_TIGHT = 3, /* TIGHT_CACHE_BYTES for copies, the others plenty */
	NODE_LAST = NODE_TIGHT,
	NODE_UNKNOWN = 9,
};

#define NODE_MEMORY_BYTES (96UL << 20)
#define TIGHT_CACHE_BYTES (1UL << 20)
#define CACHE_BYTES (32UL << 20)

/* The range, and a node's part of it, as they are by default. */
#define RANGE_BASE 0x200000000000UL
#define RANGE_BYTES (32UL << 40)
#define PARTITION_BYTES (RANGE_BYTES / DSM_MAX_NODES)

#define PAGE_BYTES 4096UL
#define WAIT_MS 30000 /* bound of everything that should be quick */

/* More rounds under STRESS=1. */
unsigned int rounds(unsigned int normal);
uint64_t now_ms(void);
/* Deterministic, so that a failure can be repeated. */
uint32_t next_random(uint32_t *state);
/* Polls for what has no event to wait for; false when @ms passed. */
bool wait_until(bool (*cond)(void *arg), void *arg, unsigned int ms);

/* Calls @fn; 0, or the signal (SIGSEGV, SIGBUS) that an access in it raised. */
int probe_run(void (*fn)(void *arg), void *arg);
/* Touches one byte; the same. */
int probe_read(const void *addr);
int probe_write(void *addr, unsigned char value);
/* A repeatable pattern; check returns the offset of the first wrong byte, or -1. */
uint64_t pattern_word(size_t index, uint32_t seed);
void pattern_fill(void *addr, size_t bytes, uint32_t seed);
ssize_t pattern_check(const void *addr, size_t bytes, uint32_t seed);
bool is_zero(const void *addr, size_t bytes);

/*
 * A list through all of an arena in random order, linked by plain pointers.
 * The head, at the arena's start, says what a walk must find.  All other words
 * are the pattern, but for each cell's pointer, which has a word to check it: so
 * every page can be told right or wrong by itself.
 */
struct chain_cell {
	struct chain_cell *next;
	uint64_t check;
	uint64_t value;
};

struct chain_head {
	struct chain_cell *first;
	uint64_t cells;
	uint64_t sum;
	uint64_t check;
	uint32_t seed;
};

bool chain_build(void *arena, size_t bytes, uint32_t seed);
/* The offset of the first wrong word in a page, or -1.  The head must be right. */
ssize_t chain_page_check(const struct chain_head *head, size_t page);
/* Says on stderr what a wrong page holds, and whether it stays wrong. */
void chain_page_explain(const struct chain_head *head, size_t page);
/*
 * True if every page, the cells and the sum are what they must be.  No pointer is
 * followed before the page that holds it was checked.  Says on stderr what is not.
 */
bool chain_walk(const struct chain_head *head);

/* Opens /dev/dsm; -errno on failure. */
int device_open(int flags);
/* ioctl() that returns 0 or -errno. */
int request(int fd, unsigned long cmd, void *arg);

/* Requests of a file without the library, 0 or -errno. */
int request_attach(int fd, unsigned int node, const char *region);
/* @ref: in and out */
int request_object(int fd, unsigned int cmd, struct dsm_ref *ref,
		   uint32_t flags);
int request_alloc_on(int fd, unsigned int node, uint64_t bytes,
		     struct dsm_ref *ref);
int request_publish(int fd, const char *name, const struct dsm_ref *ref);

/*
 * The ledger window of an attached file, read-write; NULL on failure.  @addr's word
 * is at ledger_index(@addr).
 */
#define LEDGER_BYTES (RANGE_BYTES / DSM_LINE_SIZE * sizeof(uint64_t))
uint64_t *ledger_map(int fd);
void ledger_unmap(uint64_t *words);
size_t ledger_index(uint64_t addr);
/* Allocates a small object of @lines, in EXCL and on no list; its address, or 0. */
uint64_t small_excl(int fd, unsigned int lines);

struct counters {
	uint64_t v[DSM_COUNTER_NR];
};

/* @region 0: of the whole node.  0 or -errno. */
int counters_read(unsigned int node, uint64_t region, struct counters *out);
uint64_t counter_now(unsigned int node, enum dsm_counter counter);
struct counters counters_since(unsigned int node, uint64_t region,
			       const struct counters *before);
#define COUNT(c, name) ((c).v[DSM_COUNTER_##name])

/* Writes to its configuration, in this guest.  0 or -errno. */
int node_set_up(unsigned int node, bool up);
/* Of the first two nodes to all. */
bool links_come_up(void);

/* @to has DSM_NAME_BYTES. */
void name_copy(char *to, const char *name);
/* @name has DSM_NAME_BYTES.  No two tests get the same one. */
void region_name(char *name);
/* Looks @name up in the lists of all registrars.  0 or -errno. */
int region_find(const char *name, struct dsm_region_args *out);
/* Picks a free name that @registrar keeps.  0 or -errno. */
int region_name_at(unsigned int registrar, char *name);
/* What a killed test left behind. */
void regions_clear(void);
/* Attaches this process to a node. */
struct dsm *attach_at(unsigned int node, const char *region, int flags);

/* Ends the exclusive borrow that an object was born with, and frees it. */
int object_drop(struct dsm *dsm, struct dsm_ref *ref);

/* waitpid() with a bound: 0 and *status, or -ETIMEDOUT after killing it. */
int reap(pid_t pid, int *status, unsigned int ms);
/* Runs @fn in a forked child; its return value (0..255), or -1. */
int in_child(int (*fn)(void *arg), void *arg);

#endif /* HELPER_H */
