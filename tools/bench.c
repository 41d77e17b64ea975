// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsm-bench: what page faults and borrows cost, held against raw one-sided READs.
 *
 *	dsm-bench		on two nodes at once, or more
 *
 * Only ratios taken in one run mean anything: each round measures both sides of a
 * ratio, one right after the other, and the median of the rounds' ratios is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "device.h"

#define REGION "dsm-bench"

#define COLD_ROUNDS 16
#define COLD_TOUCHES 64 /* of one round */
#define COLD_PAGES (COLD_ROUNDS * COLD_TOUCHES)
#define STREAM_ROUNDS 3
#define STREAM_PAGES 4096
#define STREAM_DEPTH 32
#define THREAD_ROUNDS 3
#define THREAD_PAGES 256 /* of one measurement, shared among the threads */

static const unsigned int thread_counts[] = { 1, 2, 4, 8 };

#define NR_THREAD_COUNTS (sizeof(thread_counts) / sizeof(thread_counts[0]))
#define MAX_THREADS 8
#define THREADED_PAGES (THREAD_ROUNDS * NR_THREAD_COUNTS * THREAD_PAGES)

_Static_assert(STREAM_PAGES <= MAX_PAGES && THREADED_PAGES <= MAX_PAGES,
	       "an order of all pages");

/* What node 1 publishes: objects of pages that begin with their index. */
static const struct object {
	const char *name;
	size_t pages;
} objects[] = {
	{ "cold", COLD_PAGES },	      { "threads", THREADED_PAGES },
	{ "stream-0", STREAM_PAGES }, { "stream-1", STREAM_PAGES },
	{ "stream-2", STREAM_PAGES },
};

#define NR_OBJECTS (sizeof(objects) / sizeof(objects[0]))

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("dsm-bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int compare_double(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), compare_double);
	return values[nr / 2];
}

void report(const char *what, double value, const char *goal, const char *fmt,
	    ...)
{
	char parts[256];
	char text[64] = "";
	va_list ap;

	if (goal)
		snprintf(text, sizeof(text), "(goal: %s)", goal);
	va_start(ap, fmt);
	vsnprintf(parts, sizeof(parts), fmt, ap);
	va_end(ap);
	printf("%-46s %6.2f   %-22s %s\n", what, value, text, parts);
}

struct dsm_ping_args ping(const struct bench *b, uint32_t bytes, uint32_t depth,
			  uint32_t count)
{
	struct dsm_ping_args args = {
		.node = SINK,
		.peer = SOURCE,
		.bytes = bytes,
		.depth = depth,
		.count = count,
	};

	if (device_ping(b->fd, &args))
		die("cannot ping node %d: %s", SOURCE, strerror(errno));
	return args;
}

static void read_counters(const struct bench *b,
			  uint64_t values[DSM_COUNTER_NR])
{
	if (device_stat(b->fd, SINK, values))
		die("cannot read the counters: %s", strerror(errno));
}

void attach(struct bench *b)
{
	b->dsm = dsm_attach(REGION, O_RDWR | O_CREAT, 0700);
	if (!b->dsm)
		die("cannot attach to region %s: %s", REGION, strerror(errno));
}

const char *lookup(const struct bench *b, const char *name)
{
	const char *object = dsm_lookup(b->dsm, name, WAIT_MS, NULL);

	if (!object)
		die("cannot find %s: %s", name, strerror(errno));
	return object;
}

static void touch(const char *object, size_t page)
{
	const char *at = object + page * PAGE_BYTES;

	if (*(const volatile uint64_t *)at != page)
		die("page %zu has other contents than it was given", page);
}

static void shuffle(uint32_t *order, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++)
		order[i] = i;
	srandom(nr);
	for (i = 0; i < nr; i++) {
		uint32_t other = i + (uint32_t)random() % (nr - i);
		uint32_t page = order[i];

		order[i] = order[other];
		order[other] = page;
	}
}

void publish_frozen(const struct bench *b, const char *name,
		    struct dsm_ref *ref)
{
	if (dsm_freeze(b->dsm, ref) || dsm_publish(b->dsm, name, ref))
		die("cannot publish %s: %s", name, strerror(errno));
}

static void publish(const struct bench *b, const struct object *object)
{
	struct dsm_ref ref;
	size_t i;
	char *p = dsm_alloc(b->dsm, object->pages * PAGE_BYTES, &ref);

	if (!p)
		die("cannot allocate %s: %s", object->name, strerror(errno));
	for (i = 0; i < object->pages; i++)
		*(uint64_t *)(p + i * PAGE_BYTES) = i;
	publish_frozen(b, object->name, &ref);
}

/*
 * The first touch of a chunk also reads its directory entry and words; that is
 * paid once and not what a cold page costs.  So one page of each is touched first.
 */
static bool is_first_of_chunk(const char *object, size_t page)
{
	const char *at = object + page * PAGE_BYTES;

	return page == 0 || (uintptr_t)at % DSM_CHUNK_SIZE == 0;
}

static void warm_chunks(const char *object, size_t pages)
{
	size_t page;

	for (page = 0; page < pages; page++)
		if (is_first_of_chunk(object, page))
			touch(object, page);
}

static void bench_cold(struct bench *b)
{
	const char *object = lookup(b, "cold");
	double fault[COLD_ROUNDS];
	double read[COLD_ROUNDS];
	double ratio[COLD_ROUNDS];
	unsigned int next = 0;
	unsigned int round;

	warm_chunks(object, COLD_PAGES);
	shuffle(b->order, COLD_PAGES);
	for (round = 0; round < COLD_ROUNDS; round++) {
		double touches[COLD_TOUCHES];
		unsigned int nr = 0;

		while (nr < COLD_TOUCHES && next < COLD_PAGES) {
			uint32_t page = b->order[next++];
			double start;

			if (is_first_of_chunk(object, page))
				continue;
			start = now_us();
			touch(object, page);
			touches[nr++] = now_us() - start;
		}
		fault[round] = median(touches, nr);
		read[round] =
			(double)ping(b, PAGE_BYTES, 1, COLD_TOUCHES).median_ns /
			1e3;
		ratio[round] = fault[round] / read[round];
	}
	report("fault of a cold remote page / raw READ",
	       median(ratio, COLD_ROUNDS), "at most 1.25", "%.1f us / %.1f us",
	       median(fault, COLD_ROUNDS), median(read, COLD_ROUNDS));
}

/* Copies outlive an attachment, mappings do not.  A fault may map several. */
static void bench_cached(struct bench *b)
{
	uint64_t before[DSM_COUNTER_NR];
	uint64_t after[DSM_COUNTER_NR];
	const char *object;
	uint64_t faults;
	double start;
	double fault;
	double read;
	size_t i;

	dsm_detach(b->dsm);
	attach(b);
	object = lookup(b, "cold");
	shuffle(b->order, COLD_PAGES);
	read_counters(b, before);
	start = now_us();
	for (i = 0; i < COLD_PAGES; i++)
		touch(object, b->order[i]);
	fault = now_us() - start;
	read_counters(b, after);
	faults = after[DSM_COUNTER_FAULTS] - before[DSM_COUNTER_FAULTS];
	fault /= faults ? (double)faults : 1;
	read = (double)ping(b, PAGE_BYTES, 1, COLD_PAGES).median_ns / 1e3;
	report("refault of a cached page / raw READ", fault / read, NULL,
	       "%.1f us / %.1f us; %" PRIu64 " faults for %d pages, %" PRIu64
	       " fetched again",
	       fault, read, faults, COLD_PAGES,
	       after[DSM_COUNTER_PAGES_FETCHED] -
		       before[DSM_COUNTER_PAGES_FETCHED]);
}

static void bench_stream(struct bench *b)
{
	double walk[STREAM_ROUNDS];
	double raw[STREAM_ROUNDS];
	double ratio[STREAM_ROUNDS];
	unsigned int round;

	for (round = 0; round < STREAM_ROUNDS; round++) {
		char name[DSM_NAME_BYTES];
		const char *object;
		double start;
		size_t page;

		snprintf(name, sizeof(name), "stream-%u", round);
		object = lookup(b, name);
		start = now_us();
		for (page = 0; page < STREAM_PAGES; page++)
			touch(object, page);
		/* Bytes in a microsecond are MB/s. */
		walk[round] = STREAM_PAGES * PAGE_BYTES / (now_us() - start);
		raw[round] =
			STREAM_PAGES * PAGE_BYTES * 1e3 /
			(double)ping(b, PAGE_BYTES, STREAM_DEPTH, STREAM_PAGES)
				.total_ns;
		ratio[round] = walk[round] / raw[round];
	}
	report("walk of 16 MiB / raw READs, 32 deep",
	       median(ratio, STREAM_ROUNDS), "at least 0.80",
	       "%.1f MB/s / %.1f MB/s", median(walk, STREAM_ROUNDS),
	       median(raw, STREAM_ROUNDS));
}

struct toucher {
	pthread_t thread;
	pthread_barrier_t *start;
	const char *object;
	const uint32_t *pages;
	unsigned int nr;
};

static void *touch_pages(void *arg)
{
	const struct toucher *t = arg;
	unsigned int i;

	pthread_barrier_wait(t->start);
	for (i = 0; i < t->nr; i++)
		touch(t->object, t->pages[i]);
	return NULL;
}

/* Pages a millisecond that the threads get, each of its own cold pages. */
static double touch_at_once(const char *object, const uint32_t *pages,
			    unsigned int threads)
{
	struct toucher touchers[MAX_THREADS];
	const unsigned int share = THREAD_PAGES / threads;
	pthread_barrier_t barrier;
	unsigned int i;
	double start;

	pthread_barrier_init(&barrier, NULL, threads + 1);
	for (i = 0; i < threads; i++) {
		struct toucher *t = &touchers[i];

		*t = (struct toucher){ .start = &barrier,
				       .object = object,
				       .pages = pages + i * share,
				       .nr = share };
		if (pthread_create(&t->thread, NULL, touch_pages, t))
			die("cannot start a thread");
	}
	start = now_us();
	pthread_barrier_wait(&barrier);
	for (i = 0; i < threads; i++)
		pthread_join(touchers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	return 1e3 * THREAD_PAGES / (now_us() - start);
}

static void bench_threads(struct bench *b)
{
	const char *object = lookup(b, "threads");
	double rate[NR_THREAD_COUNTS][THREAD_ROUNDS];
	double ratio[NR_THREAD_COUNTS][THREAD_ROUNDS];
	const uint32_t *pages = b->order;
	unsigned int round;
	unsigned int i;

	warm_chunks(object, THREADED_PAGES);
	shuffle(b->order, THREADED_PAGES);
	for (round = 0; round < THREAD_ROUNDS; round++)
		for (i = 0; i < NR_THREAD_COUNTS; i++) {
			rate[i][round] =
				touch_at_once(object, pages, thread_counts[i]);
			ratio[i][round] = rate[i][round] / rate[0][round];
			pages += THREAD_PAGES;
		}
	for (i = 1; i < NR_THREAD_COUNTS; i++) {
		char what[64];

		snprintf(what, sizeof(what),
			 "%u threads faulting at once / 1 thread",
			 thread_counts[i]);
		report(what, median(ratio[i], THREAD_ROUNDS), NULL,
		       "%.2f / %.2f pages/ms", median(rate[i], THREAD_ROUNDS),
		       median(rate[0], THREAD_ROUNDS));
	}
}

int main(int argc, char **argv)
{
	struct bench b = { .fd = device_open() };
	size_t i;

	if (argc != 1) {
		fprintf(stderr, "usage: %s\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (b.fd < 0)
		die("/dev/dsm: %s", strerror(errno));
	attach(&b);
	if (dsm_node(b.dsm) == SOURCE) {
		for (i = 0; i < NR_OBJECTS; i++)
			publish(&b, &objects[i]);
		own_source(&b);
	} else if (dsm_node(b.dsm) == SINK) {
		step_count();
		own_sink(&b);
		bench_cold(&b);
		bench_cached(&b);
		bench_stream(&b);
		bench_threads(&b);
	} else {
		own_share(&b);
	}
	dsm_detach(b.dsm);
	close(b.fd);
	return EXIT_SUCCESS;
}
