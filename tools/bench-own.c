// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsm-bench: what borrows and moves cost.
 *
 * All handles are in one frozen table.  Every object is measured once: it is cold, or
 * those that share it still have copies of its version.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "bench.h"

#define TABLE "handles"
#define MEASURED "source"
#define OVER "over"
#define OVER_WAIT_MS 600000

#define ROUNDS 16
#define NR_OBJECTS 64 /* of one round */
#define LARGE_ROUNDS 16
#define SETTLE_READS 8 /* behind a move, whose end nobody waits for */
#define LARGE_BYTES (1UL << 20)

/* Small objects, by what is done with them. */
enum set {
	SET_MISS,
	SET_SINGLE,
	SET_MANY,
	SET_MOVE,
	SET_MOVE_SHARED,
	SET_HOME,
	SET_HOME_SHARED,
	NR_SETS,
};

struct table {
	struct dsm_ref small[NR_SETS][ROUNDS][NR_OBJECTS];
	struct dsm_ref large[LARGE_ROUNDS];
	struct dsm_ref warm[2]; /* a small one and a large one to begin with */
};

/* ---- on all nodes ---- */

/* The nodes that share: all but two. */
static unsigned int nr_sharers(const struct bench *b)
{
	struct dsm_info info = { .size = sizeof(info) };

	if (ioctl(b->fd, DSM_IOC_INFO, &info))
		die("cannot read the configuration: %s", strerror(errno));
	return (unsigned int)__builtin_popcountll(info.nodes) - 2;
}

/* An object whose first word is its address. */
static void make(const struct bench *b, size_t bytes, struct dsm_ref *ref)
{
	uint64_t *p = dsm_alloc(b->dsm, bytes, ref);

	if (!p)
		die("cannot allocate %zu bytes: %s", bytes, strerror(errno));
	*p = ref->addr;
	if (dsm_return_mut(b->dsm, ref))
		die("cannot return: %s", strerror(errno));
}

static void announce(const struct bench *b, const char *what)
{
	struct dsm_ref ref;

	make(b, DSM_LINE_SIZE, &ref);
	if (dsm_publish(b->dsm, what, &ref))
		die("cannot publish %s: %s", what, strerror(errno));
}

static const struct table *find_table(const struct bench *b)
{
	return (const struct table *)lookup(b, TABLE);
}

static void check(const struct dsm_ref *ref, const void *p)
{
	if (!p)
		die("cannot borrow: %s", strerror(errno));
	if (*(const volatile uint64_t *)p != ref->addr)
		die("an object has other contents than it was given");
}

static void end_shared(const struct bench *b, const struct dsm_ref *ref)
{
	if (dsm_return(b->dsm, ref))
		die("cannot return: %s", strerror(errno));
}

static void read_one(const struct bench *b, const struct dsm_ref *ref)
{
	check(ref, dsm_borrow(b->dsm, ref));
	end_shared(b, ref);
}

/* Microseconds of an exclusive borrow.  @ref: in and out. */
static double take(const struct bench *b, struct dsm_ref *ref)
{
	const struct dsm_ref old = *ref;
	double start = now_us();
	const void *p = dsm_borrow_mut(b->dsm, ref, 0);
	double end = now_us();

	check(&old, p);
	return end - start;
}

static void end_exclusive(const struct bench *b, struct dsm_ref *ref)
{
	if (dsm_return_mut(b->dsm, ref))
		die("cannot return: %s", strerror(errno));
}

/* ---- those that share ---- */

static void share_set(const struct bench *b, const struct table *table,
		      enum set set)
{
	unsigned int round;
	unsigned int i;

	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < NR_OBJECTS; i++)
			read_one(b, &table->small[set][round][i]);
}

static void sharer_name(char name[DSM_NAME_BYTES], unsigned int sharer)
{
	snprintf(name, DSM_NAME_BYTES, "sharer-%u", sharer);
}

void own_share(struct bench *b)
{
	const struct table *table = find_table(b);
	char name[DSM_NAME_BYTES];

	share_set(b, table, SET_MOVE_SHARED);
	share_set(b, table, SET_HOME_SHARED);
	sharer_name(name, dsm_node(b->dsm));
	announce(b, name);
	if (!dsm_lookup(b->dsm, OVER, OVER_WAIT_MS, NULL))
		die("cannot wait for the end: %s", strerror(errno));
}

/* ---- node 1 ---- */

/* Microseconds of an exclusive borrow at home and its return. */
static double borrow_at_home(const struct bench *b,
			     const struct dsm_ref refs[NR_OBJECTS])
{
	struct dsm_ref own[NR_OBJECTS];
	unsigned int i;
	double start;

	memcpy(own, refs, sizeof(own));
	start = now_us();
	for (i = 0; i < NR_OBJECTS; i++) {
		if (!dsm_borrow_mut(b->dsm, &own[i], 0))
			die("cannot borrow: %s", strerror(errno));
		end_exclusive(b, &own[i]);
	}
	return (now_us() - start) / NR_OBJECTS;
}

static void bench_home(const struct bench *b, const struct table *table,
		       unsigned int sharers)
{
	double alone[ROUNDS];
	double shared[ROUNDS];
	double ratio[ROUNDS];
	unsigned int round;
	char what[64];

	for (round = 0; round < ROUNDS; round++) {
		alone[round] = borrow_at_home(b, table->small[SET_HOME][round]);
		shared[round] =
			borrow_at_home(b, table->small[SET_HOME_SHARED][round]);
		ratio[round] = shared[round] / alone[round];
	}
	snprintf(what, sizeof(what),
		 "local exclusive borrow: %u sharers / none", sharers);
	report(what, median(ratio, ROUNDS), "equal", "%.2f us / %.2f us",
	       median(shared, ROUNDS), median(alone, ROUNDS));
}

void own_source(struct bench *b)
{
	unsigned int sharers = nr_sharers(b);
	unsigned int set;
	unsigned int round;
	unsigned int i;
	struct dsm_ref ref;
	struct table *table = dsm_alloc(b->dsm, sizeof(*table), &ref);

	if (!table)
		die("cannot allocate: %s", strerror(errno));
	for (set = 0; set < NR_SETS; set++)
		for (round = 0; round < ROUNDS; round++)
			for (i = 0; i < NR_OBJECTS; i++)
				make(b, DSM_LINE_SIZE,
				     &table->small[set][round][i]);
	for (i = 0; i < LARGE_ROUNDS; i++)
		make(b, LARGE_BYTES, &table->large[i]);
	make(b, DSM_LINE_SIZE, &table->warm[0]);
	make(b, LARGE_BYTES, &table->warm[1]);
	publish_frozen(b, TABLE, &ref);
	for (i = 0; i < sharers; i++) {
		char name[DSM_NAME_BYTES];

		sharer_name(name, SINK + 1 + i);
		lookup(b, name);
	}
	if (sharers)
		bench_home(b, table, sharers);
	announce(b, MEASURED);
}

/* ---- node 2 ---- */

static double read_us(const struct bench *b, uint32_t count)
{
	return (double)ping(b, DSM_LINE_SIZE, 1, count).median_ns / 1e3;
}

static void bench_miss(const struct bench *b, const struct table *table)
{
	double miss[ROUNDS];
	double first[ROUNDS];
	double read[ROUNDS];
	double ratio[ROUNDS];
	unsigned int round;
	unsigned int i;

	for (round = 0; round < ROUNDS; round++) {
		const struct dsm_ref *refs = table->small[SET_MISS][round];
		double each[NR_OBJECTS];

		for (i = 0; i < NR_OBJECTS; i++) {
			double start = now_us();

			check(&refs[i], dsm_borrow(b->dsm, &refs[i]));
			each[i] = now_us() - start;
			end_shared(b, &refs[i]);
		}
		first[round] = each[0];
		miss[round] = median(each, NR_OBJECTS);
		read[round] = read_us(b, NR_OBJECTS);
		ratio[round] = miss[round] / read[round];
	}
	report("64-byte miss / raw READ of 64 bytes", median(ratio, ROUNDS),
	       "at most 1.30", "%.1f us / %.1f us; first of a page: %.1f us",
	       median(miss, ROUNDS), median(read, ROUNDS),
	       median(first, ROUNDS));
}

/* Both in microseconds a round. */
static double borrow_singly(const struct bench *b,
			    const struct dsm_ref refs[NR_OBJECTS])
{
	double start = now_us();
	unsigned int i;

	for (i = 0; i < NR_OBJECTS; i++)
		read_one(b, &refs[i]);
	return now_us() - start;
}

static double borrow_at_once(const struct bench *b,
			     const struct dsm_ref refs[NR_OBJECTS])
{
	const struct dsm_ref *each[NR_OBJECTS];
	const void *ptrs[NR_OBJECTS];
	unsigned int i;
	double start;

	for (i = 0; i < NR_OBJECTS; i++)
		each[i] = &refs[i];
	start = now_us();
	dsm_borrow_many(b->dsm, each, ptrs, NR_OBJECTS);
	for (i = 0; i < NR_OBJECTS; i++) {
		check(each[i], ptrs[i]);
		end_shared(b, each[i]);
	}
	return now_us() - start;
}

static void bench_many(const struct bench *b, const struct table *table)
{
	double single[ROUNDS];
	double many[ROUNDS];
	double ratio[ROUNDS];
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		single[round] =
			borrow_singly(b, table->small[SET_SINGLE][round]);
		many[round] = borrow_at_once(b, table->small[SET_MANY][round]);
		ratio[round] = many[round] / single[round];
	}
	report("64 misses at once / one by one", median(ratio, ROUNDS),
	       "at most 0.50", "%.0f us / %.0f us", median(many, ROUNDS),
	       median(single, ROUNDS));
}

static void bench_move(const struct bench *b, const struct table *table,
		       unsigned int sharers)
{
	double alone[ROUNDS];
	double shared[ROUNDS];
	double read[ROUNDS];
	double ratio[ROUNDS];
	double equal[ROUNDS];
	unsigned int round;
	unsigned int i;

	for (round = 0; round < ROUNDS; round++) {
		double each[2][NR_OBJECTS];
		double raw[NR_OBJECTS];

		for (i = 0; i < NR_OBJECTS; i++) {
			struct dsm_ref one = table->small[SET_MOVE][round][i];
			struct dsm_ref two =
				table->small[SET_MOVE_SHARED][round][i];

			each[0][i] = take(b, &one);
			end_exclusive(b, &one);
			raw[i] = read_us(b, SETTLE_READS);
			each[1][i] = take(b, &two);
			end_exclusive(b, &two);
			read_us(b, SETTLE_READS);
		}
		alone[round] = median(each[0], NR_OBJECTS);
		shared[round] = median(each[1], NR_OBJECTS);
		read[round] = median(raw, NR_OBJECTS);
		ratio[round] = alone[round] / read[round];
		equal[round] = shared[round] / alone[round];
	}
	report("move of 64 bytes / raw READ of 64 bytes", median(ratio, ROUNDS),
	       "at most 1.60", "%.1f us / %.1f us", median(alone, ROUNDS),
	       median(read, ROUNDS));
	if (sharers) {
		char what[64];

		snprintf(what, sizeof(what),
			 "move of 64 bytes: %u sharers / none", sharers);
		report(what, median(equal, ROUNDS), "equal",
		       "%.1f us / %.1f us", median(shared, ROUNDS),
		       median(alone, ROUNDS));
	}
}

/* How 1 MiB may be READ without dsm. */
static const struct raw {
	uint32_t bytes;
	uint32_t depth;
} raws[] = {
	{ 65536, 16 }, { 65536, 4 }, { 65536, 2 },
	{ 16384, 32 }, { 4096, 64 }, { 4096, 16 },
};

static double raw_us(const struct bench *b, const struct raw *raw)
{
	return (double)ping(b, raw->bytes, raw->depth,
			    (uint32_t)(LARGE_BYTES / raw->bytes))
		       .total_ns /
	       1e3;
}

static const struct raw *fastest_raw(const struct bench *b)
{
	const struct raw *fastest = &raws[0];
	double best = 0;
	size_t i;

	for (i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		double us[5];
		unsigned int k;

		for (k = 0; k < 5; k++)
			us[k] = raw_us(b, &raws[i]);
		if (i == 0 || median(us, 5) < best) {
			best = median(us, 5);
			fastest = &raws[i];
		}
	}
	return fastest;
}

static void bench_move_large(const struct bench *b, const struct table *table)
{
	const struct raw *raw = fastest_raw(b);
	double move[LARGE_ROUNDS];
	double read[LARGE_ROUNDS];
	double ratio[LARGE_ROUNDS];
	unsigned int round;

	for (round = 0; round < LARGE_ROUNDS; round++) {
		struct dsm_ref ref = table->large[round];

		move[round] = take(b, &ref);
		end_exclusive(b, &ref);
		if (dsm_drop(b->dsm, &ref))
			die("cannot drop: %s", strerror(errno));
		read[round] = raw_us(b, raw);
		ratio[round] = move[round] / read[round];
	}
	report("move of 1 MiB / raw READ of 1 MiB", median(ratio, LARGE_ROUNDS),
	       "at most 1.15",
	       "%.0f us / %.0f us: %lu READs of %u bytes, %u deep",
	       median(move, LARGE_ROUNDS), median(read, LARGE_ROUNDS),
	       LARGE_BYTES / raw->bytes, raw->bytes, raw->depth);
}

/* What is paid once: chunks of ours, and what we know of node 1's. */
static void warm_up(const struct bench *b, const struct table *table)
{
	struct dsm_ref small = table->warm[0];
	struct dsm_ref large = table->warm[1];
	unsigned int set;

	take(b, &small);
	end_exclusive(b, &small);
	take(b, &large);
	end_exclusive(b, &large);
	if (dsm_drop(b->dsm, &large))
		die("cannot drop: %s", strerror(errno));
	for (set = 0; set < SET_MOVE; set++)
		read_one(b, &table->small[set][ROUNDS - 1][NR_OBJECTS - 1]);
}

void own_sink(struct bench *b)
{
	const struct table *table = find_table(b);
	unsigned int sharers = nr_sharers(b);

	/* Node 1 is idle from then on. */
	lookup(b, MEASURED);
	warm_up(b, table);
	bench_miss(b, table);
	bench_many(b, table);
	bench_move(b, table, sharers);
	bench_move_large(b, table);
	announce(b, OVER);
}
