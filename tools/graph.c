// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsm-graph: which of Debian's packages do the most others need?
 *
 *	dsm-graph FILE		on every node of a cluster at once
 *	dsm-graph --local FILE	the same in one process, without dsm
 *
 * Node 1 builds the graph of a package index in shared memory, freezes and
 * publishes it.  The other nodes (node 1 itself if it is alone) look it up and
 * follow its pointers; each counts for its share of the packages and publishes
 * the result from its own memory, where node 1 reads it.  Lines that begin with
 * "=" are the result; they must be the same with and without dsm.
 *
 * DSM_NODES says how many nodes there are; their ids begin at 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "graph.h"

#define REGION "dsm-graph"
#define BUILDER 1
#define WAIT_MS 240000
#define TOP 10
#define SAMPLE_ROUNDS 8
#define SAMPLE_TOUCHES 16 /* of one round */
#define SAMPLES (SAMPLE_ROUNDS * SAMPLE_TOUCHES)
#define PAGE_BYTES 4096

/* A worker's part, a frozen object in its own partition. */
struct result {
	uint32_t from; /* whose needs were counted */
	uint32_t to;
	uint64_t graph_sum; /* of the graph as the worker saw it */
	uint64_t walk_ns;
	uint64_t count_ns;
	uint64_t fault_ns; /* medians; 0: not measured */
	uint64_t read_ns;
	uint64_t cost[DSM_COUNTER_NR];
	const struct package *most_needed;
	uint32_t counts[]; /* by package id */
};

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("dsm-graph: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void *xcalloc(size_t nmemb, size_t size)
{
	void *p = calloc(nmemb, size);

	if (!p)
		die("no memory for %zu bytes", nmemb * size);
	return p;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t sum_bytes(uint64_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--)
		sum = (sum ^ *p++) * 0x100000001b3; /* FNV-1a */
	return sum;
}

/* Over all names, versions and edges: every pointer is followed. */
static uint64_t graph_sum(const struct graph *graph)
{
	uint64_t sum = 0xcbf29ce484222325;
	const struct package *package;
	uint32_t i;

	for (package = graph->first; package; package = package->next) {
		sum = sum_bytes(sum, package->name, strlen(package->name));
		sum = sum_bytes(sum, package->version,
				strlen(package->version));
		for (i = 0; i < package->nr_needs; i++)
			sum = sum_bytes(sum, &package->needs[i]->id,
					sizeof(uint32_t));
	}
	return sum;
}

/* The most needed packages, of equal ones those of lower id first. */
static uint32_t top_list(const struct graph *graph, const uint32_t *counts,
			 const struct package *top[TOP])
{
	const struct package *package;
	uint32_t nr = 0;

	for (package = graph->first; package; package = package->next) {
		uint32_t i = nr;

		while (i > 0 && counts[top[i - 1]->id] < counts[package->id])
			i--;
		if (i == TOP)
			continue;
		if (nr < TOP)
			nr++;
		memmove(&top[i + 1], &top[i], (nr - 1 - i) * sizeof(*top));
		top[i] = package;
	}
	return nr;
}

static const struct package *most_needed(const struct graph *graph,
					 const uint32_t *counts)
{
	const struct package *most = graph->first;
	const struct package *package;

	for (package = most; package; package = package->next)
		if (counts[package->id] > counts[most->id])
			most = package;
	return most;
}

static void print_result(const struct graph *graph, const uint32_t *counts)
{
	const struct package *top[TOP];
	const uint32_t nr = top_list(graph, counts, top);
	uint32_t i;

	printf("= %" PRIu32 " packages, %" PRIu32 " edges, %" PRIu32
	       " needs outside the index\n",
	       graph->nr_packages, graph->nr_edges, graph->nr_unresolved);
	for (i = 0; i < nr; i++)
		printf("= %2" PRIu32 ". %-24s %-24s needed by %" PRIu32 "\n",
		       i + 1, top[i]->name, top[i]->version,
		       counts[top[i]->id]);
	printf("= checksum of the graph %016" PRIx64
	       ", of all counts %016" PRIx64 "\n",
	       graph_sum(graph),
	       sum_bytes(0xcbf29ce484222325, counts,
			 graph->nr_packages * sizeof(*counts)));
}

static void run_local(const char *path)
{
	struct arenas arenas = { .dsm = NULL };
	struct graph *graph = graph_build(&arenas, path);
	uint32_t *counts = xcalloc(graph->nr_packages, sizeof(*counts));
	unsigned int i;

	graph_count_simply(graph, counts);
	print_result(graph, counts);
	free(counts);
	for (i = 0; i < arenas.nr; i++)
		free(arenas.base[i]);
}

static struct {
	unsigned int node;
	uint32_t total;
	unsigned int percent; /* last printed */
} progress;

static void show_progress(uint32_t done)
{
	unsigned int percent =
		(unsigned int)(100 * (uint64_t)done / progress.total);

	if (percent / 20 == progress.percent / 20)
		return;
	progress.percent = percent;
	printf("node %u: %u%% of %" PRIu32 " packages counted\n", progress.node,
	       percent, progress.total);
}

static const struct graph *build(struct dsm *dsm, const char *path)
{
	struct arenas arenas = { .dsm = dsm };
	uint64_t start = now_ns();
	struct graph *graph;
	unsigned int i;

	printf("building the graph in shared memory\n");
	graph = graph_build(&arenas, path);
	for (i = 0; i < arenas.nr; i++)
		if (dsm_freeze(dsm, &arenas.refs[i]))
			die("cannot freeze: %s", strerror(errno));
	if (dsm_publish(dsm, "graph", &arenas.refs[0]))
		die("cannot publish the graph: %s", strerror(errno));
	printf("%" PRIu32 " packages, %" PRIu32
	       " edges in %u arenas, frozen and published after %.1f s\n",
	       graph->nr_packages, graph->nr_edges, arenas.nr,
	       (double)(now_ns() - start) / 1e9);
	return graph;
}

/* Adds what the node's counters grew by between two calls. */
static void cost_begin(int fd, unsigned int node,
		       uint64_t before[DSM_COUNTER_NR])
{
	if (device_stat(fd, node, before))
		die("cannot read the counters: %s", strerror(errno));
}

static void cost_end(int fd, unsigned int node,
		     const uint64_t before[DSM_COUNTER_NR],
		     uint64_t cost[DSM_COUNTER_NR])
{
	uint64_t after[DSM_COUNTER_NR];
	unsigned int i;

	cost_begin(fd, node, after);
	for (i = 0; i < DSM_COUNTER_NR; i++)
		cost[i] += after[i] - before[i];
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a;
	const uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(uint64_t *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), compare_u64);
	return values[nr / 2];
}

/* Pages of the arenas in random order, without the root's. */
static size_t pick_pages(const struct graph *graph, const char *pages[SAMPLES])
{
	size_t seen = 0;
	uint32_t i;

	srandom(progress.node);
	for (i = 0; i < graph->nr_arenas; i++) {
		size_t at;

		for (at = i ? 0 : PAGE_BYTES; at < graph->arena_used[i];
		     at += PAGE_BYTES) {
			/* Reservoir sampling, shuffled below. */
			size_t slot = seen < SAMPLES
					      ? seen
					      : (size_t)random() % (seen + 1);

			if (slot < SAMPLES)
				pages[slot] = graph->arenas[i] + at;
			seen++;
		}
	}
	if (seen > SAMPLES)
		seen = SAMPLES;
	for (i = 0; i < seen; i++) {
		size_t other = i + (size_t)random() % (seen - i);
		const char *page = pages[i];

		pages[i] = pages[other];
		pages[other] = page;
	}
	return seen;
}

/* First touches of cold pages and raw READs, in turns. */
static void sample_faults(const struct graph *graph, int fd,
			  struct result *result)
{
	uint64_t before[DSM_COUNTER_NR];
	uint64_t fault_ns[SAMPLES];
	uint64_t read_ns[SAMPLE_ROUNDS];
	const char *pages[SAMPLES];
	size_t nr = pick_pages(graph, pages);
	size_t rounds = 0;
	size_t i = 0;

	while (i < nr) {
		struct dsm_ping_args ping = {
			.node = progress.node,
			.peer = BUILDER,
			.bytes = PAGE_BYTES,
			.depth = 1,
			.count = SAMPLE_TOUCHES,
		};
		size_t end = nr - i < SAMPLE_TOUCHES ? nr : i + SAMPLE_TOUCHES;

		cost_begin(fd, progress.node, before);
		for (; i < end; i++) {
			uint64_t start = now_ns();

			(void)*(const volatile char *)pages[i];
			fault_ns[i] = now_ns() - start;
		}
		cost_end(fd, progress.node, before, result->cost);
		if (device_ping(fd, &ping))
			die("cannot ping node %d: %s", BUILDER,
			    strerror(errno));
		read_ns[rounds++] = ping.median_ns;
	}
	if (!nr)
		return;
	result->fault_ns = median(fault_ns, nr);
	result->read_ns = median(read_ns, rounds);
}

static void result_name(char name[DSM_NAME_BYTES], unsigned int node)
{
	snprintf(name, DSM_NAME_BYTES, "result-%u", node);
}

/* The share of worker @worker of @workers. */
static void work(struct dsm *dsm, unsigned int worker, unsigned int workers)
{
	uint64_t before[DSM_COUNTER_NR];
	const struct package *most;
	const struct graph *graph;
	char name[DSM_NAME_BYTES];
	struct result *result;
	struct dsm_ref ref;
	uint64_t start;
	int fd = device_open();

	if (fd < 0)
		die("/dev/dsm: %s", strerror(errno));
	graph = dsm_lookup(dsm, "graph", WAIT_MS, NULL);
	if (!graph)
		die("cannot find the graph: %s", strerror(errno));
	result = dsm_alloc(dsm,
			   sizeof(*result) + graph->nr_packages *
						     sizeof(result->counts[0]),
			   &ref);
	if (!result)
		die("cannot allocate the result: %s", strerror(errno));
	result->from =
		(uint32_t)((uint64_t)graph->nr_packages * worker / workers);
	result->to = (uint32_t)((uint64_t)graph->nr_packages * (worker + 1) /
				workers);
	progress.node = dsm_node(dsm);
	progress.total = result->to - result->from;
	if (progress.node != BUILDER)
		sample_faults(graph, fd, result);

	cost_begin(fd, progress.node, before);
	start = now_ns();
	result->graph_sum = graph_sum(graph);
	result->walk_ns = now_ns() - start;
	printf("node %u: graph at %p, walked in %.1f s\n", progress.node,
	       (const void *)graph, (double)result->walk_ns / 1e9);
	start = now_ns();
	graph_count(graph, result->from, result->to, result->counts,
		    show_progress);
	result->count_ns = now_ns() - start;
	cost_end(fd, progress.node, before, result->cost);
	close(fd);

	most = most_needed(graph, result->counts);
	result->most_needed = most;
	printf("node %u: packages %" PRIu32 " to %" PRIu32
	       " need %s the most, %" PRIu32 " of them\n",
	       progress.node, result->from, result->to - 1, most->name,
	       result->counts[most->id]);
	result_name(name, progress.node);
	if (dsm_freeze(dsm, &ref) || dsm_publish(dsm, name, &ref))
		die("cannot publish the result: %s", strerror(errno));
}

static void print_cost(unsigned int node, const struct result *result)
{
	const uint64_t *cost = result->cost;

	printf("node %u: walked in %.1f s, counted in %.1f s; fetched %" PRIu64
	       " pages (%" PRIu64 " ahead) in %" PRIu64
	       " round trips, %.1f MB\n",
	       node, (double)result->walk_ns / 1e9,
	       (double)result->count_ns / 1e9, cost[DSM_COUNTER_PAGES_FETCHED],
	       cost[DSM_COUNTER_PAGES_READAHEAD], cost[DSM_COUNTER_ROUND_TRIPS],
	       (double)cost[DSM_COUNTER_BYTES_READ] / 1e6);
	if (result->read_ns)
		printf("node %u: first touch of a remote page, median %.1f us; raw READ %.1f us; ratio %.2f\n",
		       node, (double)result->fault_ns / 1e3,
		       (double)result->read_ns / 1e3,
		       (double)result->fault_ns / (double)result->read_ns);
}

static void merge(struct dsm *dsm, const struct graph *graph,
		  unsigned int first, unsigned int last)
{
	uint32_t *counts = xcalloc(graph->nr_packages, sizeof(*counts));
	const struct result *results[DSM_MAX_NODES];
	uint64_t sum = graph_sum(graph);
	char name[DSM_NAME_BYTES];
	unsigned int node;
	uint32_t i;

	for (node = first; node <= last; node++) {
		const struct result *result;

		result_name(name, node);
		result = dsm_lookup(dsm, name, WAIT_MS, NULL);
		if (!result)
			die("no result of node %u: %s", node, strerror(errno));
		if (result->graph_sum != sum)
			die("node %u saw another graph", node);
		printf("node %u is done: it saw %s needed the most\n", node,
		       result->most_needed->name);
		for (i = 0; i < graph->nr_packages; i++)
			counts[i] += result->counts[i];
		results[node] = result;
	}
	print_result(graph, counts);
	for (node = first; node <= last; node++)
		print_cost(node, results[node]);
	free(counts);
}

static unsigned int nr_nodes(void)
{
	const char *env = getenv("DSM_NODES");
	uint32_t nr;

	if (!env || !device_parse_node(env, &nr) || nr == 0)
		die("DSM_NODES must say how many nodes there are");
	return nr;
}

static void run(const char *path)
{
	const unsigned int nr = nr_nodes();
	const unsigned int first = nr == BUILDER ? BUILDER : BUILDER + 1;
	struct dsm *dsm = dsm_attach(REGION, O_RDWR | O_CREAT, 0700);
	const struct graph *graph = NULL;
	unsigned int node;

	if (!dsm)
		die("cannot attach to region %s: %s", REGION, strerror(errno));
	node = dsm_node(dsm);
	if (node < BUILDER || node > nr)
		die("node %u is not one of the %u", node, nr);
	if (node == BUILDER)
		graph = build(dsm, path);
	if (node >= first)
		work(dsm, node - first, nr - first + 1);
	if (node == BUILDER)
		merge(dsm, graph, first, nr);
	dsm_detach(dsm);
}

int main(int argc, char **argv)
{
	/* Lines of several nodes are shown as they come. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "--local")) {
		run_local(argv[2]);
	} else if (argc == 2 && argv[1][0] != '-') {
		run(argv[1]);
	} else {
		fprintf(stderr, "usage: dsm-graph [--local] FILE\n");
		return 2;
	}
	return EXIT_SUCCESS;
}
