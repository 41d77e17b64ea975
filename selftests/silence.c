// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each operation costs, and that nobody else notices: every one is done with
 * 0, 1, 2 and 7 other nodes that hold copies of the object, and the counters of all
 * nodes are compared with what the table below says.
 *
 * silence.sh runs this in a cluster of nine nodes and shows the lines that begin
 * with "# |".  Between guests there are as many others as there are guests for.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

enum {
	ACTOR = 1,
	HOME = 2,
	FIRST_SHARER = 3,
	SHARERS = 7, /* at most */
	NODES = FIRST_SHARER + SHARERS - 1,
};

#define SMALL_BYTES (3 * DSM_LINE_SIZE)
#define SMALL_MAX_BYTES (DSM_MAX_LINES * DSM_LINE_SIZE)
#define LARGE_BYTES (16 * PAGE_BYTES)
#define WORD_BYTES sizeof(uint64_t)
#define ENTRY_BYTES 64 /* of a chunk directory */
#define QUIET_MS 20 /* what is still to come has come */
#define QUIET_TRIES 100
#define LATER_MS 10000

/* What a node counts for one operation. */
struct cost {
	uint64_t trips;
	uint64_t reads, words, directory;
	uint64_t atomics;
	uint64_t bytes;
	uint64_t messages; /* sent; as many are received */
	/* Of the above, what nobody waits for. */
	uint64_t later_words, later_atomics;
};

/* What the test and a worker tell each other. */
struct exchange {
	struct dsm_ref ref;
	size_t bytes;
	size_t touch; /* bytes of it that are read */
};

/* By which a handle is given away. */
static struct dsm_ref *const parcel = (struct dsm_ref *)SHARED_ADDR;

static unsigned int last_node(void)
{
	return guests() > 1 ? guests() : NODES;
}

FIXTURE(silence)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker worker[NODES + 1]; /* by node, but for ACTOR */
	unsigned int sharers; /* that take copies now */
	size_t bytes; /* of an object */
	struct dsm_ref ref, other;
	const volatile unsigned char *p;
};

FIXTURE_VARIANT(silence)
{
	size_t bytes;
	const char *name;
};

FIXTURE_VARIANT_ADD(silence, small){
	.bytes = SMALL_BYTES,
	.name = "small",
};

FIXTURE_VARIANT_ADD(silence, large){
	.bytes = LARGE_BYTES,
	.name = "large",
};

typedef FIXTURE_DATA(silence) silence;

FIXTURE_SETUP(silence)
{
	self->bytes = variant->bytes;
	region_name(self->region);
	ASSERT_TRUE(shared_map(sizeof(*parcel)));
	ASSERT_EQ(0, dsm_region_create(ACTOR, self->region, 0600));
	for (unsigned int node = HOME; node <= last_node(); node++)
		ASSERT_EQ(0, worker_start(&self->worker[node], node,
					  self->region, O_RDWR));
	self->dsm = attach_at(ACTOR, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(silence)
{
	for (unsigned int node = HOME; node <= last_node(); node++)
		worker_stop(&self->worker[node]);
	dsm_detach(self->dsm);
	dsm_region_remove(ACTOR, self->region);
}

static bool is_large(const silence *self)
{
	return self->bytes == LARGE_BYTES;
}

/* ---- what workers do ---- */

static bool make(struct dsm *dsm, size_t bytes, struct dsm_ref *ref)
{
	void *p = dsm_alloc(dsm, bytes, ref);

	if (!p)
		return false;
	memset(p, 7, bytes);
	return dsm_return_mut(dsm, ref) == 0;
}

static long make_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return make(dsm, x->bytes, &x->ref) ? 0 : -errno;
}

static long freeze_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	if (!dsm_alloc(dsm, x->bytes, &x->ref))
		return -errno;
	return dsm_freeze(dsm, &x->ref) ? -errno : 0;
}

/* The biggest small object, in a chunk that nobody has looked at yet. */
static long make_in_new_chunk(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	uint64_t chunk = 0;

	for (;;) {
		if (!make(dsm, SMALL_MAX_BYTES, &x->ref))
			return -errno;
		if (chunk && x->ref.addr >> DSM_CHUNK_SHIFT != chunk)
			break;
		chunk = x->ref.addr >> DSM_CHUNK_SHIFT;
	}
	return 0;
}

static unsigned int touch(const void *p, size_t bytes)
{
	const volatile unsigned char *byte = p;
	unsigned int sum = 0;

	for (size_t i = 0; i < bytes; i += DSM_LINE_SIZE)
		sum += byte[i];
	return sum;
}

static long take_copy(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	const void *p = dsm_borrow(dsm, &x->ref);

	if (!p)
		return -errno;
	touch(p, x->touch);
	return dsm_return(dsm, &x->ref) ? -errno : 0;
}

/* Own what is in the parcel. */
static long receive(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	(void)dsm;
	x->ref = *parcel;
	return 0;
}

/* ---- what goes before an operation ---- */

static bool share(silence *self, size_t bytes)
{
	for (unsigned int i = 0; i < self->sharers; i++) {
		struct worker *w = &self->worker[FIRST_SHARER + i];
		struct exchange *x = w->arg;

		x->ref = self->ref;
		x->touch = bytes;
		if (worker_run(w, take_copy))
			return false;
	}
	return true;
}

static bool at_home(silence *self)
{
	return make(self->dsm, self->bytes, &self->ref) &&
	       share(self, self->bytes);
}

static bool at_home_borrowed(silence *self)
{
	if (!at_home(self))
		return false;
	self->p = dsm_borrow(self->dsm, &self->ref);
	return self->p;
}

static bool at_home_borrowed_mut(silence *self)
{
	return at_home(self) && dsm_borrow_mut(self->dsm, &self->ref, 0);
}

static bool made_elsewhere(silence *self, job_fn job, size_t bytes)
{
	struct worker *home = &self->worker[HOME];
	struct exchange *x = home->arg;

	x->bytes = bytes;
	if (worker_run(home, job))
		return false;
	self->ref = x->ref;
	/* All of it: nothing is left to be read ahead while something is counted. */
	return share(self, self->ref.size);
}

/* In a chunk that the actor knows. */
static bool elsewhere(silence *self)
{
	if (!made_elsewhere(self, make_there, self->bytes))
		return false;
	self->other = self->ref;
	if (!dsm_borrow(self->dsm, &self->other) ||
	    dsm_return(self->dsm, &self->other))
		return false;
	return made_elsewhere(self, make_there, self->bytes);
}

static bool elsewhere_in_new_chunk(silence *self)
{
	if (is_large(self))
		return made_elsewhere(self, make_there, DSM_CHUNK_SIZE);
	return made_elsewhere(self, make_in_new_chunk, self->bytes);
}

static bool elsewhere_borrowed(silence *self)
{
	if (!elsewhere(self))
		return false;
	self->p = dsm_borrow(self->dsm, &self->ref);
	return self->p;
}

static bool elsewhere_cached(silence *self)
{
	if (!elsewhere_borrowed(self))
		return false;
	touch((const void *)self->p, self->bytes);
	return dsm_return(self->dsm, &self->ref) == 0;
}

static bool elsewhere_cached_borrowed(silence *self)
{
	if (!elsewhere_cached(self))
		return false;
	self->p = dsm_borrow(self->dsm, &self->ref);
	return self->p;
}

static bool elsewhere_borrowed_mut(silence *self)
{
	return elsewhere(self) && dsm_borrow_mut(self->dsm, &self->ref, 0);
}

/* The actor's cache is smaller than what it reads after the borrow. */
static bool elsewhere_evicted(silence *self)
{
	struct exchange *x = self->worker[HOME].arg;
	const void *filler;

	if (!elsewhere_borrowed(self))
		return false;
	touch((const void *)self->p, self->bytes);
	x->bytes = TIGHT_CACHE_BYTES * 2;
	if (worker_run(&self->worker[HOME], make_there))
		return false;
	filler = dsm_borrow(self->dsm, &x->ref);
	if (!filler)
		return false;
	touch(filler, x->bytes);
	return dsm_return(self->dsm, &x->ref) == 0;
}

/* Another page of it was read before, and with it what is frozen. */
static bool elsewhere_frozen(silence *self)
{
	if (!made_elsewhere(self, freeze_there, self->bytes))
		return false;
	self->p = (const void *)(uintptr_t)self->ref.addr;
	touch((const void *)self->p, 1);
	return true;
}

/* ---- operations ---- */

static bool allocate(silence *self)
{
	return dsm_alloc(self->dsm, self->bytes, &self->other);
}

static bool allocate_there(silence *self)
{
	return dsm_alloc_on(self->dsm, HOME, self->bytes, &self->other) == 0;
}

static bool borrow(silence *self)
{
	self->p = dsm_borrow(self->dsm, &self->ref);
	return self->p;
}

static bool end(silence *self)
{
	return dsm_return(self->dsm, &self->ref) == 0;
}

static bool borrow_mut(silence *self)
{
	return dsm_borrow_mut(self->dsm, &self->ref, 0);
}

static bool borrow_discard(silence *self)
{
	return dsm_borrow_mut(self->dsm, &self->ref, DSM_DISCARD);
}

static bool end_mut(silence *self)
{
	return dsm_return_mut(self->dsm, &self->ref) == 0;
}

static bool give_away(silence *self)
{
	*parcel = self->ref;
	return worker_run(&self->worker[FIRST_SHARER], receive) == 0;
}

static bool drop(silence *self)
{
	return dsm_drop(self->dsm, &self->ref) == 0;
}

/* Neither the first page nor one behind another that was read. */
static bool fault(silence *self)
{
	return self->p[is_large(self) ? 8 * PAGE_BYTES : 0] != 8;
}

/* ---- the table ---- */

struct row {
	const char *what;
	bool (*before)(silence *self);
	bool (*run)(silence *self);
	struct cost small;
	struct cost large;
	bool no_small, no_large;
};

/* A large object's handle is checked with the words of its chunk. */
#define CHUNK_WORDS PAGE_BYTES

/* clang-format off */
static const struct row rows[] = {
	{ .what = "allocate, at home", .before = at_home, .run = allocate },
	{ .what = "shared borrow, at home", .before = at_home, .run = borrow },
	{ .what = "end of shared borrow, at home", .before = at_home_borrowed, .run = end },
	{ .what = "exclusive borrow, at home", .before = at_home, .run = borrow_mut },
	{ .what = "end of exclusive borrow, at home", .before = at_home_borrowed_mut, .run = end_mut },
	{ .what = "transfer of ownership, at home", .before = at_home, .run = give_away },
	{ .what = "drop, at home", .before = at_home, .run = drop },
	{
		.what = "allocate, elsewhere",
		.before = elsewhere, .run = allocate_there,
		.small = { .messages = 1 }, .large = { .messages = 1 },
	},
	{ .what = "shared borrow, hit, elsewhere", .before = elsewhere_cached,
	  .run = borrow },
	{
		.what = "shared borrow, miss, elsewhere",
		.before = elsewhere, .run = borrow,
		.small = { .trips = 1, .reads = 1, .words = 2,
			   .bytes = SMALL_BYTES + 2 * WORD_BYTES },
		.large = { .trips = 1, .words = 1, .bytes = CHUNK_WORDS },
	},
	{
		.what = "shared borrow, first of a chunk, elsewhere",
		.before = elsewhere_in_new_chunk, .run = borrow,
		.small = { .trips = 2, .reads = 1, .words = 2, .directory = 1,
			   .bytes = SMALL_MAX_BYTES + 2 * WORD_BYTES + ENTRY_BYTES },
		.large = { .trips = 2, .words = 1, .directory = 1,
			   .bytes = CHUNK_WORDS + ENTRY_BYTES },
	},
	{
		.what = "fault on a page that is borrowed, elsewhere",
		.before = elsewhere_borrowed, .run = fault,
		.no_small = true,
		.large = { .trips = 1, .reads = 1, .words = 1,
			   .bytes = PAGE_BYTES + WORD_BYTES },
	},
	{
		.what = "fault on a page that is frozen, elsewhere",
		.before = elsewhere_frozen, .run = fault,
		.no_small = true,
		.large = { .trips = 1, .reads = 1, .bytes = PAGE_BYTES },
	},
	{
		.what = "fault on a page that was evicted, elsewhere",
		.before = elsewhere_evicted, .run = fault,
		.small = { .trips = 1, .reads = 1, .bytes = PAGE_BYTES },
		.large = { .trips = 1, .reads = 1, .words = 1,
			   .bytes = PAGE_BYTES + WORD_BYTES },
	},
	{
		.what = "end of shared borrow, elsewhere",
		.before = elsewhere_cached_borrowed, .run = end,
	},
	{
		.what = "exclusive borrow, elsewhere",
		.before = elsewhere, .run = borrow_mut,
		.small = { .trips = 1, .reads = 1, .words = 1, .atomics = 2,
			   .bytes = SMALL_BYTES + WORD_BYTES,
			   .later_atomics = 1 },
		.large = { .trips = 1, .reads = 1, .words = 1, .atomics = 2,
			   .bytes = LARGE_BYTES + CHUNK_WORDS,
			   .later_atomics = 1 },
	},
	{
		.what = "exclusive borrow of what is cached, elsewhere",
		.before = elsewhere_cached, .run = borrow_mut,
		.small = { .trips = 1, .reads = 1, .words = 1, .atomics = 2,
			   .bytes = SMALL_BYTES + WORD_BYTES,
			   .later_atomics = 1 },
		.large = { .trips = 1, .reads = 1, .words = 1, .atomics = 2,
			   .bytes = LARGE_BYTES + CHUNK_WORDS,
			   .later_atomics = 1 },
	},
	{
		.what = "exclusive borrow, DSM_DISCARD, elsewhere",
		.before = elsewhere, .run = borrow_discard,
		.small = { .trips = 1, .words = 1, .atomics = 2,
			   .bytes = WORD_BYTES, .later_atomics = 1 },
		.large = { .trips = 1, .words = 1, .atomics = 2,
			   .bytes = CHUNK_WORDS, .later_atomics = 1 },
	},
	{
		.what = "end of exclusive borrow, from elsewhere",
		.before = elsewhere_borrowed_mut, .run = end_mut,
	},
	{ .what = "transfer of ownership, elsewhere", .before = elsewhere, .run = give_away },
	{
		.what = "drop, elsewhere",
		.before = elsewhere, .run = drop,
		.small = { .words = 1, .atomics = 1, .bytes = WORD_BYTES,
			   .later_words = 1, .later_atomics = 1 },
		.large = { .words = 1, .atomics = 1, .bytes = CHUNK_WORDS,
			   .later_words = 1, .later_atomics = 1 },
	},
};
/* clang-format on */

/* ---- counting ---- */

struct census {
	struct counters of[NODES + 1];
};

static bool census_take(struct census *c)
{
	memset(c, 0, sizeof(*c));
	for (unsigned int node = ACTOR; node <= last_node(); node++)
		if (counters_read(node, 0, &c->of[node]))
			return false;
	return true;
}

/* READs of an idle link are nobody's operation. */
static bool is_counted(unsigned int counter)
{
	return counter != DSM_COUNTER_READS_LIVENESS;
}

static void census_subtract(struct census *c, const struct census *before)
{
	for (unsigned int node = ACTOR; node <= last_node(); node++)
		for (unsigned int i = 0; i < DSM_COUNTER_NR; i++)
			c->of[node].v[i] -= before->of[node].v[i];
}

static bool is_still(const struct census *c)
{
	for (unsigned int node = ACTOR; node <= last_node(); node++)
		for (unsigned int i = 0; i < DSM_COUNTER_NR; i++)
			if (c->of[node].v[i] && is_counted(i))
				return false;
	return true;
}

/* Once what the set-up left to be done later, as to read ahead, has been done. */
static bool census_take_settled(struct census *c)
{
	for (unsigned int i = 0; i < QUIET_TRIES; i++) {
		struct census change;

		if (!census_take(c))
			return false;
		usleep(QUIET_MS * 1000);
		if (!census_take(&change))
			return false;
		census_subtract(&change, c);
		if (is_still(&change))
			return true;
	}
	dprintf(1, "# the nodes do not come to rest\n");
	return false;
}

static bool links_changed(const struct census *c)
{
	for (unsigned int node = ACTOR; node <= last_node(); node++)
		if (COUNT(c->of[node], LINKS_UP) ||
		    COUNT(c->of[node], LINKS_LOST))
			return true;
	return false;
}

struct later { /* what is waited for */
	uint64_t atomics;
};

static bool later_has_come(void *arg)
{
	const struct later *later = arg;

	return counter_now(ACTOR, DSM_COUNTER_ATOMICS) >= later->atomics;
}

/* Did any counter of a node move?  Says which. */
static bool moved(const struct counters *c, unsigned int node)
{
	static const char *const names[] = {
#define NAME(id, name) name,
		DSM_COUNTERS(NAME)
#undef NAME
	};
	bool any = false;

	for (unsigned int i = 0; i < DSM_COUNTER_NR; i++) {
		if (!c->v[i] || !is_counted(i))
			continue;
		dprintf(1, "# node %u: %s %+lld\n", node, names[i],
			(long long)c->v[i]);
		any = true;
	}
	return any;
}

static struct cost cost_of(const struct counters *c, const struct cost *want)
{
	return (struct cost){
		.trips = COUNT(*c, ROUND_TRIPS),
		.reads = COUNT(*c, READS),
		.words = COUNT(*c, READS_WORDS),
		.directory = COUNT(*c, READS_DIRECTORY),
		.atomics = COUNT(*c, ATOMICS),
		.bytes = COUNT(*c, BYTES_READ),
		.messages = COUNT(*c, MESSAGES_SENT),
		.later_words = want->later_words,
		.later_atomics = want->later_atomics,
	};
}

static void row_print(const char *size, const char *what, const char *others,
		      const struct cost *c)
{
	char later[64] = "";

	if (c->later_words)
		snprintf(later, sizeof(later), "%u word, ",
			 (unsigned int)c->later_words);
	if (c->later_atomics)
		snprintf(later + strlen(later), sizeof(later) - strlen(later),
			 "%u CAS", (unsigned int)c->later_atomics);
	dprintf(1,
		"# | %s | %s | %s | %u | %u | %u | %u | %u | %u | %s | %u |\n",
		what, size, others, (unsigned int)c->trips,
		(unsigned int)c->reads,
		(unsigned int)(c->words - c->later_words),
		(unsigned int)c->directory,
		(unsigned int)(c->atomics - c->later_atomics),
		(unsigned int)c->messages, later, (unsigned int)c->bytes);
}

/*
 * Do one row once.  Returns false if something failed; else *@got is what it cost
 * the actor, and *@silent whether nobody else noticed.
 */
static bool row_run(silence *self, const struct row *row,
		    const struct cost *want, struct cost *got, bool *silent)
{
	struct census before, after;
	unsigned int tries = 0;

	do {
		struct later later;

		if (!row->before(self)) {
			dprintf(1, "# %s: cannot be set up: %s\n", row->what,
				strerror(errno));
			return false;
		}
		if (!census_take_settled(&before))
			return false;
		if (!row->run(self)) {
			dprintf(1, "# %s: %s\n", row->what, strerror(errno));
			return false;
		}
		later.atomics =
			COUNT(before.of[ACTOR], ATOMICS) + want->atomics;
		wait_until(later_has_come, &later, LATER_MS);
		usleep(QUIET_MS * 1000);
		if (!census_take(&after))
			return false;
		census_subtract(&after, &before);
		/* A link that is lost and made anew costs messages. */
	} while (links_changed(&after) && tries++ < 3);

	*got = cost_of(&after.of[ACTOR], want);
	*silent = COUNT(after.of[ACTOR], MESSAGES_RECEIVED) == want->messages &&
		  COUNT(after.of[ACTOR], MESSAGES_ALLOC) == want->messages &&
		  COUNT(after.of[ACTOR], ATOMICS_OWN) == 0;
	if (want->messages) {
		/* The home is asked, and answers. */
		*silent &= COUNT(after.of[HOME], MESSAGES_SENT) ==
				   want->messages &&
			   COUNT(after.of[HOME], MESSAGES_RECEIVED) ==
				   want->messages &&
			   COUNT(after.of[HOME], ROUND_TRIPS) == 0 &&
			   COUNT(after.of[HOME], READS) == 0 &&
			   COUNT(after.of[HOME], ATOMICS) == 0;
	} else if (moved(&after.of[HOME], HOME)) {
		*silent = false;
	}
	for (unsigned int node = FIRST_SHARER; node <= last_node(); node++)
		if (moved(&after.of[node], node))
			*silent = false;
	return true;
}

static bool row_check(silence *self, const struct row *row, const char *size)
{
	static const unsigned int others[] = { 0, 1, 2, SHARERS };
	const struct cost *want = is_large(self) ? &row->large : &row->small;
	char with[32] = "";
	bool right = true;

	for (unsigned int i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct cost got;
		char count[16];
		bool silent;

		if (FIRST_SHARER + others[i] > last_node() + 1)
			break;
		snprintf(with + strlen(with), sizeof(with) - strlen(with),
			 "%s%u", i ? ", " : "", others[i]);
		self->sharers = others[i];
		if (!row_run(self, row, want, &got, &silent))
			return false;
		if (silent && !memcmp(&got, want, sizeof(got)))
			continue;
		snprintf(count, sizeof(count), "%u", others[i]);
		dprintf(1, "# %s: with %s others %s; it cost, and should:\n",
			row->what, count, silent ? "silent" : "NOT SILENT");
		row_print(size, row->what, count, &got);
		row_print(size, row->what, count, want);
		right = false;
	}
	if (right)
		row_print(size, row->what, with, want);
	return right;
}

TEST_F_TIMEOUT(silence, every_operation_costs_what_the_table_says, 900)
{
	dprintf(1,
		"# | operation | object | others with copies | round trips | "
		"READs of data | of words | of the directory | atomics | "
		"messages | later | bytes READ |\n");
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (is_large(self) ? rows[i].no_large : rows[i].no_small)
			continue;
		EXPECT_TRUE(row_check(self, &rows[i], variant->name))
		{
			TH_LOG("%s", rows[i].what);
		}
	}
}

TEST_HARNESS_MAIN
