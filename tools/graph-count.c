// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsm-graph: how many packages need each package, directly or not.
 *
 * graph_count() first finds the strongly connected components (Tarjan), which
 * come out in an order in which every component follows those it needs.  Then it
 * takes the packages in blocks of BLOCK_BITS.  Each component gets a mask: which
 * packages of the block need it.  Walking the components in the reverse order,
 * every mask is complete before it is handed on along the edges.  The cost is one
 * walk over the reachable edges per block.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

#define BLOCK_WORDS 8
#define BLOCK_BITS (64 * BLOCK_WORDS)

/* One mask is one cache line. */
struct mask {
	uint64_t words[BLOCK_WORDS];
};

struct components {
	uint32_t nr;
	uint32_t *of_package; /* by package id */
	/* Packages by component: those of c at start[c] to start[c + 1] - 1. */
	const struct package **members;
	uint32_t *start;
};

/* Tarjan's algorithm with a stack of its own: chains are thousands deep. */
struct frame {
	const struct package *package;
	uint32_t edge; /* the next one to follow */
};

struct search {
	struct components *components;
	uint32_t clock;
	uint32_t *order; /* by package id: when it was first seen, 0: never */
	uint32_t *low; /* the oldest package that it reaches on the stack */
	struct frame *frames;
	uint32_t depth;
	const struct package **stack; /* not yet in a component */
	uint32_t stacked;
};

#define NO_COMPONENT UINT32_MAX

static void search_enter(struct search *s, const struct package *package)
{
	s->order[package->id] = s->low[package->id] = ++s->clock;
	s->stack[s->stacked++] = package;
	s->frames[s->depth++] = (struct frame){ package, 0 };
}

static void component_take(struct search *s, const struct package *root)
{
	struct components *c = s->components;
	uint32_t nr_members = c->start[c->nr];
	const struct package *package;

	do {
		package = s->stack[--s->stacked];
		c->of_package[package->id] = c->nr;
		c->members[nr_members++] = package;
	} while (package != root);
	c->start[++c->nr] = nr_members;
}

static void search_leave(struct search *s, const struct package *package)
{
	uint32_t *low = s->low;

	if (low[package->id] == s->order[package->id])
		component_take(s, package);
	if (--s->depth) {
		uint32_t parent = s->frames[s->depth - 1].package->id;

		if (low[package->id] < low[parent])
			low[parent] = low[package->id];
	}
}

static void search_from(struct search *s, const struct package *package)
{
	const struct components *c = s->components;

	search_enter(s, package);
	while (s->depth) {
		struct frame *frame = &s->frames[s->depth - 1];
		const struct package *from = frame->package;
		const struct package *to;

		if (frame->edge == from->nr_needs) {
			search_leave(s, from);
			continue;
		}
		to = from->needs[frame->edge++];
		if (!s->order[to->id])
			search_enter(s, to);
		else if (c->of_package[to->id] == NO_COMPONENT &&
			 s->order[to->id] < s->low[from->id])
			s->low[from->id] = s->order[to->id];
	}
}

static void components_find(struct components *c, const struct graph *graph)
{
	const uint32_t n = graph->nr_packages;
	const struct package *package;
	struct search s = {
		.components = c,
		.order = xcalloc(n, sizeof(*s.order)),
		.low = xcalloc(n, sizeof(*s.low)),
		.frames = xcalloc(n, sizeof(*s.frames)),
		.stack = xcalloc(n, sizeof(*s.stack)),
	};

	c->nr = 0;
	c->of_package = xcalloc(n, sizeof(*c->of_package));
	c->members = xcalloc(n, sizeof(*c->members));
	c->start = xcalloc(n + 1, sizeof(*c->start));
	memset(c->of_package, 0xff, n * sizeof(*c->of_package));

	for (package = graph->first; package; package = package->next)
		if (!s.order[package->id])
			search_from(&s, package);
	free(s.order);
	free(s.low);
	free(s.frames);
	free(s.stack);
}

static void components_free(struct components *c)
{
	free(c->of_package);
	free(c->members);
	free(c->start);
}

/* Counts a component's mask and hands it to the components it needs. */
static void component_pass(const struct components *c, uint32_t component,
			   struct mask *masks, uint32_t *counts)
{
	const struct mask *mine = &masks[component];
	uint32_t needed_by = 0;
	uint32_t i;
	uint32_t j;
	int w;

	for (w = 0; w < BLOCK_WORDS; w++)
		needed_by += (uint32_t)__builtin_popcountll(mine->words[w]);
	if (!needed_by)
		return;
	for (i = c->start[component]; i < c->start[component + 1]; i++) {
		const struct package *package = c->members[i];

		counts[package->id] += needed_by;
		for (j = 0; j < package->nr_needs; j++) {
			uint32_t to = c->of_package[package->needs[j]->id];

			if (to == component)
				continue;
			for (w = 0; w < BLOCK_WORDS; w++)
				masks[to].words[w] |= mine->words[w];
		}
	}
}

void graph_count(const struct graph *graph, uint32_t from, uint32_t to,
		 uint32_t *counts, void (*progress)(uint32_t done))
{
	struct components c;
	struct mask *masks;
	uint32_t block;

	components_find(&c, graph);
	masks = aligned_alloc(sizeof(*masks), c.nr * sizeof(*masks));
	if (!masks)
		die("no memory for %u masks", c.nr);

	for (block = from; block < to; block += BLOCK_BITS) {
		uint32_t end = to - block < BLOCK_BITS ? to
						       : block + BLOCK_BITS;
		uint32_t id;
		uint32_t i;

		memset(masks, 0, c.nr * sizeof(*masks));
		for (id = block; id < end; id++) {
			struct mask *mask = &masks[c.of_package[id]];

			mask->words[(id - block) / 64] |= UINT64_C(1)
							  << (id - block) % 64;
			/* Nobody counts as needing itself. */
			counts[id]--;
		}
		for (i = c.nr; i-- > 0;)
			component_pass(&c, i, masks, counts);
		progress(end - from);
	}
	free(masks);
	components_free(&c);
}

void graph_count_simply(const struct graph *graph, uint32_t *counts)
{
	const uint32_t n = graph->nr_packages;
	const struct package **queue = xcalloc(n, sizeof(*queue));
	uint32_t *seen_by = xcalloc(n, sizeof(*seen_by)); /* id + 1 */
	const struct package *package;

	for (package = graph->first; package; package = package->next) {
		uint32_t tail = 0;
		uint32_t head;

		seen_by[package->id] = package->id + 1;
		queue[tail++] = package;
		for (head = 0; head < tail; head++) {
			const struct package *at = queue[head];
			uint32_t i;

			for (i = 0; i < at->nr_needs; i++) {
				const struct package *to = at->needs[i];

				if (seen_by[to->id] == package->id + 1)
					continue;
				seen_by[to->id] = package->id + 1;
				counts[to->id]++;
				queue[tail++] = to;
			}
		}
	}
	free(queue);
	free(seen_by);
}
