// SPDX-License-Identifier: GPL-2.0-only
/*
 * Litmus tests: no outcome that sequential consistency forbids, for litmus.sh.
 *
 * A variable is an object.  A write is an exclusive borrow and its end, then the new
 * handle goes where readers look for it; a read is to look there and a shared borrow.
 * Who reads while somebody writes gets ESTALE or EBUSY and looks again.  Readers look
 *
 *	names	up the variable's name
 *	slots	into memory that the processes share: nothing but the library and
 *		the module orders anything here
 *	nested	into another object, whose handle is in such a slot
 *
 * Each round runs the program of a test once, all actors at a time, with delays and
 * evictions at random points.  All words of an object hold what was written and for
 * which version, so a read of any other version's bytes is seen too.
 *
 * That a test can fail is shown by running it with a break: see enum breakage.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "helper.h"
#include "internal.h"
#include "litmus.h"

/* A value is round * PER_ROUND + what the program writes, 1 or 2. */
#define PER_ROUND 4

#define CI_ROUNDS 1000
#define STRESS_ROUNDS 100000
#define PROGRESS_ROUNDS 10000
#define BREAK_ROUNDS 5000 /* until the break must have been seen */
#define ROUND_LIMIT_MS 30000
#define TEST_SECONDS 14400

enum channel { NAMES, SLOTS, NESTED };

/* What the actors do wrong, on purpose. */
enum breakage {
	SOUND,
	BYTES_LATE, /* bytes are stored after the version and the handle are out */
	SAME_VERSION, /* exclusive borrows of X end without a new version */
	STALE_HANDLE, /* the last read of a program uses the handle of one before */
	READ_LATE, /* a read followed by a write is done behind it */
};

/* Where readers find a variable: @seq is odd while the rest changes. */
struct slot {
	atomic_uint taken; /* by a writer */
	atomic_uint seq;
	_Atomic uint64_t word[3];
};

/* What the processes share, wherever they are. */
static struct shared {
	const struct program *program;
	enum channel channel;
	enum breakage breakage;
	size_t bytes[VARS];
	unsigned int actors;
	unsigned int rounds;
	uint32_t seed;
	struct slot slot[VARS];
	atomic_uint arrived, phase; /* barrier */
	atomic_uint lined_up;
	atomic_uint over;
	unsigned int round;
	uint64_t r[ACTORS][OPS];
	uint64_t end[VARS];
	uint64_t before[VARS]; /* the value as the round began */
	/* What is counted. */
	atomic_uint forbidden, inexact, backward, retries, errors, evictions;
	char what[256]; /* of the first error */
} *const shared = (struct shared *)SHARED_ADDR;

struct actor {
	struct dsm *dsm;
	unsigned int id;
	uint32_t random;
	struct dsm_ref own[VARS]; /* NAMES: of a variable with one writer */
	struct dsm_ref seen[VARS]; /* last */
	struct dsm_ref stale[VARS]; /* in the round before */
	struct late {
		uint64_t *at;
		uint64_t value, version;
		size_t bytes;
	} late[OPS];
	unsigned int nr_late;
};

static const char *const var_name[VARS] = { "x", "y" };

/* ---- delays, evictions, the barrier ---- */

static void evict(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	/* The first time copies are only unmapped. */
	for (unsigned int i = 0; i < 2; i++)
		if (write(fd, "2", 1) != 1)
			atomic_fetch_add(&shared->errors, 1);
	close(fd);
	atomic_fetch_add(&shared->evictions, 1);
}

/* Some place where time may pass. */
static void point(struct actor *a)
{
	uint32_t r = next_random(&a->random);
	struct timespec pause = { .tv_nsec = (r >> 16) % 64 * 1000 };

	if (r % 512 == 0)
		evict();
	else if (r % 64 == 1)
		nanosleep(&pause, NULL);
	else if (r % 16 == 2)
		sched_yield();
	else if (r % 4 == 3)
		for (unsigned int i = (r >> 16) % 1024; i; i--)
			atomic_signal_fence(memory_order_seq_cst);
}

static void failed(struct actor *a, const char *what, int error)
{
	if (!atomic_fetch_add(&shared->errors, 1))
		snprintf(shared->what, sizeof(shared->what),
			 "actor %u, round %u: %s: %s", a->id, shared->round,
			 what, strerror(error));
}

/* Sleeps, as spinning takes the CPU from those that are waited for. */
static void phase_wait(unsigned int phase, unsigned int *turns)
{
	const struct timespec limit = { .tv_sec = 1 };

	/* There are no futexes between guests. */
	if (guests() > 1)
		wait_turn(turns);
	else
		syscall(SYS_futex, &shared->phase, FUTEX_WAIT, phase, &limit,
			NULL, 0);
}

/* False if somebody does not come. */
static bool barrier(struct actor *a)
{
	unsigned int phase = atomic_load(&shared->phase), turns = 0;
	uint64_t end = now_ms() + ROUND_LIMIT_MS;

	if (atomic_fetch_add(&shared->arrived, 1) == shared->actors - 1) {
		atomic_store(&shared->arrived, 0);
		atomic_store(&shared->phase, phase + 1);
		syscall(SYS_futex, &shared->phase, FUTEX_WAKE, ACTORS, NULL,
			NULL, 0);
		return true;
	}
	while (atomic_load(&shared->phase) == phase) {
		if (now_ms() > end) {
			failed(a, "barrier", ETIMEDOUT);
			return false;
		}
		phase_wait(phase, &turns);
	}
	return true;
}

/* All begin at a time. */
static void line_up(void)
{
	uint64_t end = now_ms() + ROUND_LIMIT_MS;
	unsigned int all = shared->round * shared->actors, turns = 0;

	atomic_fetch_add(&shared->lined_up, 1);
	/* If somebody does not come, the barrier says so. */
	while (atomic_load(&shared->lined_up) < all && now_ms() < end)
		wait_turn(&turns);
}

/* What happens to who looks at what is being written. */
static bool again(int error)
{
	if (error != ESTALE && error != EBUSY)
		return false;
	atomic_fetch_add(&shared->retries, 1);
	sched_yield();
	return true;
}

/* ---- channels ---- */

static void slot_put(struct slot *slot, const struct dsm_ref *ref)
{
	unsigned int seq = atomic_load(&slot->seq);

	atomic_store(&slot->seq, seq + 1);
	atomic_store_explicit(&slot->word[0], ref->addr, memory_order_relaxed);
	atomic_store_explicit(&slot->word[1], ref->version,
			      memory_order_relaxed);
	atomic_store_explicit(&slot->word[2], ref->size, memory_order_relaxed);
	atomic_store(&slot->seq, seq + 2);
}

static void slot_get(struct slot *slot, struct dsm_ref *ref)
{
	unsigned int seq;

	do {
		seq = atomic_load(&slot->seq);
		ref->addr = atomic_load_explicit(&slot->word[0],
						 memory_order_relaxed);
		ref->version = atomic_load_explicit(&slot->word[1],
						    memory_order_relaxed);
		ref->size = atomic_load_explicit(&slot->word[2],
						 memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while (seq & 1 || atomic_load(&slot->seq) != seq);
}

static void slot_take(struct slot *slot)
{
	unsigned int turns = 0;

	while (atomic_exchange(&slot->taken, 1))
		wait_turn(&turns);
}

static void *borrow_mut(struct actor *a, struct dsm_ref *ref)
{
	unsigned int discard = next_random(&a->random) & 1 ? DSM_DISCARD : 0;
	void *p;

	/* Readers of large objects, and nobody else, may be in the way. */
	do
		p = dsm_borrow_mut(a->dsm, ref, discard);
	while (!p && errno == EBUSY && again(errno));
	if (!p)
		failed(a, "dsm_borrow_mut", errno);
	return p;
}

/* ---- reading ---- */

static _Thread_local sigjmp_buf bus_env;
static _Thread_local volatile sig_atomic_t bus_guard;

/* The version that a large object was borrowed for is gone. */
static void on_bus(int sig)
{
	if (bus_guard)
		siglongjmp(bus_env, sig);
	signal(sig, SIG_DFL);
}

/* All of an object's words, but for the first two of each page. */
static bool words_are(const volatile uint64_t *p, size_t bytes, uint64_t value,
		      uint64_t version)
{
	for (size_t i = 0; i < bytes / sizeof(*p); i++)
		if (p[i] != (i % 2 ? version : value))
			return false;
	return true;
}

static void other_bytes(struct actor *a, const struct dsm_ref *ref,
			const uint64_t *p)
{
	size_t last = ref->size / sizeof(*p) - 1;

	failed(a, "other bytes", 0);
	if (!atomic_fetch_add(&shared->inexact, 1))
		snprintf(
			shared->what, sizeof(shared->what),
			"actor %u on node %u, round %u: of %#llx at %#llx: %#llx for %#llx to %#llx",
			a->id, dsm_node(a->dsm), shared->round,
			(unsigned long long)ref->version,
			(unsigned long long)ref->addr, (unsigned long long)p[0],
			(unsigned long long)p[1], (unsigned long long)p[last]);
}

/*
 * Reads what @ref names.  Returns 0, or an errno that says to look again; others
 * are failures.
 */
static int read_ref(struct actor *a, const struct dsm_ref *ref, uint64_t *value)
{
	const volatile uint64_t *p;
	volatile bool exact = false;
	volatile int err = 0;

	p = dsm_borrow(a->dsm, ref);
	if (!p)
		return errno;
	if (next_random(&a->random) % 64 == 0)
		evict();
	point(a);
	if (!sigsetjmp(bus_env, 1)) {
		bus_guard = 1;
		*value = p[0];
		exact = words_are(p, ref->size, *value, ref->version);
	} else {
		err = ESTALE;
	}
	bus_guard = 0;
	point(a);
	if (dsm_return(a->dsm, ref))
		return errno;
	if (!err && !exact && shared->breakage == SOUND) {
		other_bytes(a, ref, (const void *)(uintptr_t)p);
	}
	return err;
}

/* Finds the handle of a variable.  0 or an errno as for read_ref(). */
static int find(struct actor *a, unsigned int var, struct dsm_ref *ref)
{
	struct dsm_ref dir;
	const struct dsm_ref *p;

	if (shared->channel == NAMES)
		return dsm_lookup(a->dsm, var_name[var], WAIT_MS, ref) ? 0
								       : errno;
	if (shared->channel == SLOTS) {
		slot_get(&shared->slot[var], ref);
		return 0;
	}
	slot_get(&shared->slot[var], &dir);
	p = dsm_borrow(a->dsm, &dir);
	if (!p)
		return errno;
	*ref = *p;
	return dsm_return(a->dsm, &dir) ? errno : 0;
}

static uint64_t read_var(struct actor *a, unsigned int var, bool stale)
{
	uint64_t value = 0;
	struct dsm_ref ref = { 0 };
	int err;

	if (stale && a->stale[var].addr && !read_ref(a, &a->stale[var], &value))
		return value;
	do {
		point(a);
		err = find(a, var, &ref);
		point(a);
		err = err ?: read_ref(a, &ref, &value);
	} while (err && again(err));
	if (err)
		failed(a, "read", err);
	a->seen[var] = ref;
	return value;
}

/* ---- writing ---- */

static void store_words(volatile uint64_t *p, size_t bytes, uint64_t value,
			uint64_t version)
{
	for (size_t i = 0; i < bytes / sizeof(*p); i++)
		p[i] = i % 2 ? version : value;
}

static void flush_late(struct actor *a)
{
	/* Backwards, as stores that nothing orders. */
	while (a->nr_late) {
		struct late *l = &a->late[--a->nr_late];

		point(a);
		store_words(l->at, l->bytes, l->value, l->version);
	}
}

/* The bytes of a new version, and its end. */
static int write_ref(struct actor *a, struct dsm_ref *ref, uint64_t *p,
		     uint64_t value, bool same)
{
	uint64_t line = (ref->addr - a->dsm->base) / DSM_LINE_SIZE;
	uint64_t old = ref->version;
	size_t half = ref->size / 2;

	if (shared->breakage == BYTES_LATE) {
		a->late[a->nr_late++] =
			(struct late){ p, value, old + 1, ref->size };
		return dsm_return_mut(a->dsm, ref);
	}
	if (same)
		old--;
	store_words(p, half, value, old + 1);
	point(a);
	store_words(p + half / sizeof(*p), half, value, old + 1);
	point(a);
	if (dsm_return_mut(a->dsm, ref))
		return -1;
	if (same) {
		ref->version--;
		atomic_exchange(&a->dsm->ledger[line], ref->version);
	}
	return 0;
}

/* A write to what @ref names, in place or as a new object. */
static void change_ref(struct actor *a, unsigned int var, struct dsm_ref *ref,
		       struct dsm_ref *old, uint64_t value)
{
	uint64_t *p;

	old->addr = 0;
	if (shared->breakage == SOUND && next_random(&a->random) % 8 == 0) {
		*old = *ref;
		p = dsm_alloc(a->dsm, old->size, ref);
	} else {
		p = borrow_mut(a, ref);
	}
	point(a);
	if (!p || write_ref(a, ref, p, value,
			    var == X && shared->breakage == SAME_VERSION))
		failed(a, "write", errno);
	point(a);
}

/* What a write replaced is dropped when readers look elsewhere. */
static void drop_old(struct actor *a, struct dsm_ref *old)
{
	int ret;

	if (!old->addr)
		return;
	do
		ret = dsm_drop(a->dsm, old);
	while (ret && errno == EBUSY && again(errno));
	if (ret)
		failed(a, "dsm_drop", errno);
}

static void write_named(struct actor *a, unsigned int var, uint64_t value)
{
	bool writers = shared->program->writers;
	struct dsm_ref *ref = &a->own[var];
	struct dsm_ref old;

	if (writers && dsm_take(a->dsm, var_name[var], WAIT_MS, ref)) {
		failed(a, "dsm_take", errno);
		return;
	}
	change_ref(a, var, ref, &old, value);
	if (writers ? dsm_publish(a->dsm, var_name[var], ref)
		    : dsm_republish(a->dsm, var_name[var], ref))
		failed(a, "dsm_publish", errno);
	drop_old(a, &old);
}

static void write_nested(struct actor *a, unsigned int var, uint64_t value)
{
	struct dsm_ref dir, old;
	struct dsm_ref *p;

	slot_get(&shared->slot[var], &dir);
	p = dsm_borrow_mut(a->dsm, &dir, 0);
	if (!p) {
		failed(a, "dsm_borrow_mut of a parent", errno);
		return;
	}
	change_ref(a, var, p, &old, value);
	if (dsm_return_mut(a->dsm, &dir))
		failed(a, "dsm_return_mut of a parent", errno);
	point(a);
	slot_put(&shared->slot[var], &dir);
	drop_old(a, &old);
}

static void write_var(struct actor *a, unsigned int var, uint64_t value)
{
	struct slot *slot = &shared->slot[var];
	struct dsm_ref ref, old;

	if (shared->channel == NAMES) {
		write_named(a, var, value);
		return;
	}
	slot_take(slot);
	if (shared->channel == NESTED) {
		write_nested(a, var, value);
	} else {
		slot_get(slot, &ref);
		change_ref(a, var, &ref, &old, value);
		slot_put(slot, &ref);
		drop_old(a, &old);
	}
	atomic_store(&slot->taken, 0);
}

/* The variable as the first round finds it. */
static bool create_var(struct actor *a, unsigned int var)
{
	struct dsm_ref ref, dir;
	struct dsm_ref *q;
	uint64_t *p;

	p = dsm_alloc(a->dsm, shared->bytes[var], &ref);
	if (!p)
		return false;
	store_words(p, ref.size, PER_ROUND - 1, ref.version + 1);
	if (dsm_return_mut(a->dsm, &ref))
		return false;
	shared->before[var] = PER_ROUND - 1;
	a->own[var] = ref;
	if (shared->channel == NAMES)
		return !dsm_publish(a->dsm, var_name[var], &ref);
	if (shared->channel == SLOTS) {
		slot_put(&shared->slot[var], &ref);
		return true;
	}
	q = dsm_alloc(a->dsm, sizeof(*q), &dir);
	if (!q)
		return false;
	*q = ref;
	if (dsm_return_mut(a->dsm, &dir))
		return false;
	slot_put(&shared->slot[var], &dir);
	return true;
}

/* ---- a round ---- */

static void run_op(struct actor *a, unsigned int i, uint64_t base)
{
	const struct op *op = &shared->program->op[a->id][i];
	bool last = i + 1 == OPS || op[1].kind == NONE;

	if (op->kind == WRITE)
		write_var(a, op->var, base + op->value);
	else if (op->kind == READ)
		shared->r[a->id][i] = read_var(
			a, op->var, shared->breakage == STALE_HANDLE && last);
}

static void run_round(struct actor *a)
{
	const struct op *op = shared->program->op[a->id];
	uint64_t base = (uint64_t)shared->round * PER_ROUND;

	for (unsigned int i = 0; i < OPS; i++) {
		if (shared->breakage == READ_LATE && op[i].kind == READ &&
		    i + 1 < OPS && op[i + 1].kind == WRITE) {
			run_op(a, i + 1, base);
			run_op(a, i, base);
			i++;
		} else {
			run_op(a, i, base);
		}
		point(a);
	}
	flush_late(a);
	memcpy(a->stale, a->seen, sizeof(a->stale));
}

/* What was read, as the program says it; values older than the round are 0. */
static unsigned int normal(uint64_t value, unsigned int var)
{
	if (value / PER_ROUND == shared->round)
		return value % PER_ROUND;
	if (value != shared->before[var] && shared->breakage == SOUND)
		atomic_fetch_add(&shared->backward, 1);
	return 0;
}

static void judge(struct actor *a)
{
	const struct program *program = shared->program;
	struct outcome o = { 0 };

	for (unsigned int i = 0; i < shared->actors; i++)
		for (unsigned int k = 0; k < OPS; k++)
			if (program->op[i][k].kind == READ)
				o.r[i][k] = normal(shared->r[i][k],
						   program->op[i][k].var);
	/* Only now, as all of the round is compared with before[]. */
	for (unsigned int i = 0; i < VARS; i++) {
		shared->end[i] = read_var(a, i, false);
		o.end[i] = normal(shared->end[i], i);
		shared->before[i] = shared->end[i];
	}
	if (program->forbidden(&o) && !atomic_fetch_add(&shared->forbidden, 1))
		printf("# %s: the first forbidden outcome: round %u, seed %u\n",
		       program->name, shared->round, shared->seed);
}

/* The first actor that writes a variable has it from the beginning. */
static bool is_first_writer(const struct actor *a, unsigned int var)
{
	for (unsigned int i = 0; i < shared->actors; i++)
		for (unsigned int k = 0; k < OPS; k++) {
			const struct op *op = &shared->program->op[i][k];

			if (op->kind == WRITE && op->var == var)
				return i == a->id;
		}
	return a->id == 0;
}

/* Long runs show that they go on. */
static void progress(void)
{
	printf("# %s: round %u, %u retries, %u evictions\n",
	       shared->program->name, shared->round, shared->retries,
	       shared->evictions);
	fflush(stdout);
}

static long act(struct dsm *dsm, void *arg)
{
	const struct sigaction on_sigbus = { .sa_handler = on_bus };
	struct actor a = { .dsm = dsm, .id = *(unsigned int *)arg };

	a.random = shared->seed * 2654435761U + a.id * 40503U + 1;
	if (sigaction(SIGBUS, &on_sigbus, NULL))
		return -errno;
	for (unsigned int i = 0; i < VARS; i++)
		if (is_first_writer(&a, i) && !create_var(&a, i))
			failed(&a, "create_var", errno);
	for (;;) {
		if (!barrier(&a))
			return -ETIMEDOUT;
		if (atomic_load(&shared->over))
			return 0;
		line_up();
		run_round(&a);
		if (!barrier(&a))
			return -ETIMEDOUT;
		if (a.id == 0) {
			bool seen;

			judge(&a);
			seen = shared->breakage != SOUND &&
			       atomic_load(&shared->forbidden);
			if (seen || atomic_load(&shared->errors) ||
			    shared->round == shared->rounds)
				atomic_store(&shared->over, 1);
			if (shared->round % PROGRESS_ROUNDS == 0)
				progress();
			shared->round++;
		}
	}
}

/* ---- the tests ---- */

/* @near: two actors on each node; else each has its own. */
struct setting {
	enum channel channel;
	size_t bytes[VARS];
	bool near;
};

static char region[DSM_NAME_BYTES];
static struct worker workers[ACTORS];

static uint32_t pick_seed(void)
{
	const char *seed = getenv("SEED");

	return seed ? (uint32_t)strtoul(seed, NULL, 0) : (uint32_t)now_ms() | 1;
}

static bool set_up(void)
{
	region_name(region);
	return shared_map(sizeof(*shared)) &&
	       !dsm_region_create(NODE_HOME, region, 0600);
}

static void tear_down(void)
{
	for (unsigned int i = 0; i < ACTORS; i++)
		worker_stop(&workers[i]);
	dsm_region_remove(NODE_HOME, region);
}

static void run(struct __test_metadata *_metadata,
		const struct program *program, const struct setting *setting,
		enum breakage breakage, unsigned int nr_rounds)
{
	uint64_t began = now_ms();

	while (shared->actors < ACTORS &&
	       program->op[shared->actors][0].kind != NONE)
		shared->actors++;
	shared->program = program;
	shared->channel = setting->channel;
	shared->breakage = breakage;
	memcpy(shared->bytes, setting->bytes, sizeof(shared->bytes));
	shared->rounds = nr_rounds;
	shared->round = 1;
	shared->seed = pick_seed();
	for (unsigned int i = 0; i < shared->actors; i++) {
		struct worker *w = &workers[i];
		unsigned int node = 1 + (setting->near ? i / 2 : i);

		ASSERT_EQ(0, worker_start(w, node, region, O_RDWR));
		*(unsigned int *)w->arg = i;
	}
	for (unsigned int i = 0; i < shared->actors; i++)
		ASSERT_EQ(0, worker_post(&workers[i], act));
	for (unsigned int i = 0; i < shared->actors; i++)
		EXPECT_EQ(0, worker_wait(&workers[i], TEST_SECONDS * 1000));
	printf("# %-4s seed %u: %u rounds in %u ms, %u retries, %u evictions\n",
	       program->name, shared->seed, shared->round - 1,
	       (unsigned int)(now_ms() - began), shared->retries,
	       shared->evictions);
	if (shared->errors)
		printf("# %s\n", shared->what);
	fflush(stdout);
	EXPECT_EQ(0, atomic_load(&shared->errors));
	EXPECT_EQ(0, atomic_load(&shared->inexact));
	EXPECT_EQ(0, atomic_load(&shared->backward));
	EXPECT_EQ(breakage != SOUND, (atomic_load(&shared->forbidden) != 0));
}

FIXTURE(litmus)
{
	char unused;
};

FIXTURE_SETUP(litmus)
{
	ASSERT_TRUE(set_up());
}

FIXTURE_TEARDOWN(litmus)
{
	tear_down();
}

FIXTURE_VARIANT(litmus)
{
	struct setting setting;
	unsigned int share; /* of the rounds in CI */
	unsigned int stress_share;
};

/* The quickest first. */
FIXTURE_VARIANT_ADD(litmus, slots_near){
	.setting = { SLOTS, { 128, 4032 }, true },
	.share = 1,
	.stress_share = 1,
};
FIXTURE_VARIANT_ADD(litmus, slots){
	.setting = { SLOTS, { 64, 512 }, false },
	.share = 1,
	.stress_share = 1,
};
FIXTURE_VARIANT_ADD(litmus, large){
	.setting = { SLOTS, { 4096 * 3, 4096 * 2 }, false },
	.share = 10,
	.stress_share = 4,
};
FIXTURE_VARIANT_ADD(litmus, nested){
	.setting = { NESTED, { 64, 192 }, false },
	.share = 5,
	.stress_share = 1,
};
FIXTURE_VARIANT_ADD(litmus, names){
	.setting = { NAMES, { 64, 512 }, false },
	.share = 10,
	.stress_share = 1,
};

static unsigned int variant_rounds(unsigned int share,
				   unsigned int stress_share)
{
	const char *ci = getenv("ROUNDS");
	/* A round takes about 10 ms between guests. */
	bool slow = guests() > 1;

	if (rounds(1) > 1)
		return STRESS_ROUNDS / stress_share / (slow ? 50 : 1);
	if (ci)
		return (unsigned int)strtoul(ci, NULL, 0) / share;
	return CI_ROUNDS / share / (slow ? 5 : 1);
}

#define LITMUS(program)                                                     \
	TEST_F_TIMEOUT(litmus, program, TEST_SECONDS)                       \
	{                                                                   \
		run(_metadata, &(program), &variant->setting, SOUND,        \
		    variant_rounds(variant->share, variant->stress_share)); \
	}

LITMUS(mp)
LITMUS(sb)
LITMUS(lb)
LITMUS(wrc)
LITMUS(iriw)
LITMUS(corr)
LITMUS(cowr)
LITMUS(two_writes)

/* ---- evicted under a reader ---- */

FIXTURE(litmus_break)
{
	char unused;
};

FIXTURE_SETUP(litmus_break)
{
	ASSERT_TRUE(set_up());
}

FIXTURE_TEARDOWN(litmus_break)
{
	tear_down();
}

static long write_there(struct dsm *dsm, void *arg)
{
	struct dsm_ref *ref = arg;
	uint64_t *p = ref->addr ? dsm_borrow_mut(dsm, ref, 0)
				: dsm_alloc(dsm, 256, ref);

	if (!p)
		return -errno;
	store_words(p, ref->size, 0, ref->version + 1);
	return dsm_return_mut(dsm, ref) ? -errno : 0;
}

static bool evict_all(unsigned int node)
{
	for (unsigned int i = 0; i < 100; i++) {
		if (!counter_now(node, DSM_COUNTER_GAUGE_COPIES))
			return true;
		evict();
	}
	return false;
}

TEST_F(litmus_break, who_reads_what_was_evicted_and_written_is_told)
{
	struct dsm_ref ref;
	const uint64_t *p;
	struct dsm *dsm;

	dsm = attach_at(NODE_HOME, region, O_RDWR);
	ASSERT_NE(NULL, dsm);
	ASSERT_EQ(0, worker_start(&workers[0], NODE_PEER, region, O_RDWR));
	ASSERT_EQ(0, worker_run(&workers[0], write_there));
	ref = *(struct dsm_ref *)workers[0].arg;
	/* Evicted alone: the page comes again as it was. */
	p = dsm_borrow(dsm, &ref);
	ASSERT_NE(NULL, p);
	ASSERT_TRUE(evict_all(NODE_HOME));
	EXPECT_TRUE(words_are(p, ref.size, 0, ref.version));
	EXPECT_EQ(0, dsm_return(dsm, &ref));
	/* And written, against the rules. */
	p = dsm_borrow(dsm, &ref);
	ASSERT_NE(NULL, p);
	ASSERT_TRUE(evict_all(NODE_HOME));
	ASSERT_EQ(0, worker_run(&workers[0], write_there));
	EXPECT_FALSE(words_are(p, ref.size, 0, ref.version));
	EXPECT_EQ(-1, dsm_return(dsm, &ref));
	EXPECT_EQ(ESTALE, errno);
	dsm_detach(dsm);
}

/* ---- breaks that must be seen ---- */

static const struct setting far = { SLOTS, { 64, 512 }, false };
static const struct setting near = { SLOTS, { 64, 512 }, true };

#define BREAK(program, breakage, setting)                                \
	TEST_F_TIMEOUT(litmus_break, program##_##breakage, TEST_SECONDS) \
	{                                                                \
		run(_metadata, &(program), &(setting), breakage,         \
		    BREAK_ROUNDS);                                       \
	}

BREAK(mp, BYTES_LATE, near)
BREAK(mp, SAME_VERSION, far)
BREAK(mp, STALE_HANDLE, far)
BREAK(sb, BYTES_LATE, near)
BREAK(sb, SAME_VERSION, far)
BREAK(sb, STALE_HANDLE, far)
BREAK(lb, READ_LATE, far)
BREAK(wrc, STALE_HANDLE, far)
BREAK(iriw, STALE_HANDLE, far)
BREAK(corr, STALE_HANDLE, far)
BREAK(cowr, BYTES_LATE, near)
BREAK(two_writes, BYTES_LATE, near)

TEST_HARNESS_MAIN
