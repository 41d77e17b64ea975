// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stress of stress.c: threads that obey the rules of ownership, and their trees of
 * objects.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "stress.h"

uint32_t choose(struct thread *t, uint32_t n)
{
	return next_random(&t->random) / 8 % n;
}

void seed_thread(struct thread *t)
{
	t->random = (shared->seed ^ (t->id + 1) * 2654435761U) | 1;
	for (unsigned int i = 0; i < 4; i++)
		next_random(&t->random);
}

void failed(const struct thread *t, const char *what, int error,
	    const struct dsm_ref *ref)
{
	const struct dsm_ref none = { 0 };

	ref = ref ?: &none;
	if (!atomic_fetch_add(&shared->errors, 1))
		snprintf(
			shared->what, sizeof(shared->what),
			"thread %u on node %u: %s: %s; handle %#llx at %#llx of %llu bytes",
			t->id, dsm_node(t->dsm), what, strerror(error),
			(unsigned long long)ref->version,
			(unsigned long long)ref->addr,
			(unsigned long long)ref->size);
	atomic_store(&shared->stop, 1);
}

/* ---- contents ---- */

static uint64_t max_kids(size_t size)
{
	size_t room = (size - sizeof(struct object)) / sizeof(struct dsm_ref);

	return room < KIDS ? room : KIDS;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15ULL;
	return sum ^ sum >> 29;
}

static uint64_t sum_of(const volatile struct object *o, uint64_t kids)
{
	uint64_t sum = mix(mix(mix(mix(1, o->addr), o->version), o->id), kids);

	for (uint64_t i = 0; i < kids; i++)
		sum = mix(mix(mix(sum, o->kid[i].addr), o->kid[i].version),
			  o->kid[i].size);
	return sum;
}

/* Of a large object the ends of its pages are enough. */
static size_t next_word(size_t i)
{
	return i > 512 && i % 512 == 4 ? i + 504 : i + 1;
}

static size_t first_word(size_t size)
{
	return (sizeof(struct object) +
		max_kids(size) * sizeof(struct dsm_ref)) /
	       8;
}

void seal(struct object *o, const struct dsm_ref *ref)
{
	uint64_t *word = (uint64_t *)o;

	o->addr = ref->addr;
	o->version = ref->version + 1; /* that the end of the borrow makes */
	o->sum = sum_of(o, o->kids);
	for (size_t i = first_word(ref->size); i < ref->size / 8;
	     i = next_word(i))
		word[i] = mix(o->addr + i, o->version);
}

bool is_exact(const volatile struct object *o, const struct dsm_ref *ref)
{
	const volatile uint64_t *word = (const volatile uint64_t *)o;
	uint64_t kids = o->kids;

	if (o->addr != ref->addr || o->version != ref->version ||
	    kids > max_kids(ref->size) || o->sum != sum_of(o, kids))
		return false;
	for (size_t i = first_word(ref->size); i < ref->size / 8;
	     i = next_word(i))
		if (word[i] != mix(ref->addr + i, ref->version))
			return false;
	return true;
}

void check(const struct thread *t, const struct object *o,
	   const struct dsm_ref *ref, const char *what)
{
	if (is_exact(o, ref))
		return;
	failed(t, what, 0, ref);
	if (shared->errors == 1) {
		size_t len = strlen(shared->what);

		snprintf(shared->what + len, sizeof(shared->what) - len,
			 "; there: %#llx at %#llx, %llu kids",
			 (unsigned long long)o->version,
			 (unsigned long long)o->addr,
			 (unsigned long long)o->kids);
	}
}

/* For violators.  @over: the handle owns nothing any more. */
void know(const struct dsm_ref *ref, bool over)
{
	struct known *k =
		&shared->known[atomic_fetch_add(&shared->next_known, 1) % KNOWN];

	if (atomic_exchange(&k->lock, 1))
		return;
	k->ref = *ref;
	k->over = over;
	atomic_store(&k->lock, 0);
}

/* ---- calls that must succeed ---- */

/*
 * A process that reads a large object, or an older request of this node for the
 * address, may be in the way for a while.
 */
static bool again(uint64_t *end)
{
	if (errno != EBUSY)
		return false;
	atomic_fetch_add(&shared->busy, 1);
	if (!*end)
		*end = now_ms() + PATIENCE_MS;
	sched_yield();
	return now_ms() < *end;
}

static const struct object *borrow(struct thread *t, const struct dsm_ref *ref)
{
	const struct object *o = dsm_borrow(t->dsm, ref);

	if (!o)
		failed(t, "dsm_borrow", errno, ref);
	else
		check(t, o, ref, "other bytes under a shared borrow");
	return o;
}

void give_back(struct thread *t, const struct dsm_ref *ref)
{
	if (dsm_return(t->dsm, ref))
		failed(t, "dsm_return", errno, ref);
}

/* NULL without a failure: there is no room here. */
struct object *borrow_mut(struct thread *t, struct dsm_ref *ref,
			  unsigned int flags)
{
	struct dsm_ref old = *ref;
	struct object *o;
	uint64_t end = 0;

	do
		o = dsm_borrow_mut(t->dsm, ref, flags);
	while (!o && again(&end));
	if (o && flags & DSM_DISCARD)
		memset(o, 0, sizeof(*o));
	else if (o)
		check(t, o, &old, "other bytes under an exclusive borrow");
	else if (errno == ENOSPC)
		atomic_fetch_add(&shared->no_space, 1);
	else
		failed(t, "dsm_borrow_mut", errno, ref);
	if (o && old.addr != ref->addr)
		know(&old, true);
	return o;
}

void give_back_mut(struct thread *t, struct dsm_ref *ref)
{
	struct dsm_ref old = *ref;

	if (dsm_return_mut(t->dsm, ref)) {
		failed(t, "dsm_return_mut", errno, ref);
		return;
	}
	know(&old, true);
	know(ref, false);
}

void drop(struct thread *t, struct dsm_ref *ref)
{
	struct dsm_ref old = *ref;
	uint64_t end = 0;
	int err;

	do
		err = dsm_drop(t->dsm, ref);
	while (err && again(&end));
	if (err)
		failed(t, "dsm_drop", errno, ref);
	/* Elsewhere it is only begun: who is faster may yet take it. */
	know(&old, dsm_home(t->dsm, (void *)(uintptr_t)old.addr) ==
			   (int)dsm_node(t->dsm));
	atomic_fetch_add(&shared->dropped, 1);
}

/* ---- trees ---- */

static size_t pick_size(struct thread *t)
{
	switch (choose(t, 16)) {
	case 0:
		return 4096 + choose(t, (LARGE_PAGES - 1) * PAGE_BYTES);
	case 1 ... 4:
		return 64 + choose(t, DSM_MAX_LINES * 64 - 64);
	default:
		return 64 + choose(t, 512);
	}
}

/* A new object without kids.  Returns false if there is no room. */
bool make(struct thread *t, struct dsm_ref *ref)
{
	size_t size = pick_size(t);
	struct object *o;
	uint64_t end = 0;

	if (choose(t, 8) == 0) {
		if (dsm_alloc_on(t->dsm, 1 + choose(t, NODES), size, ref)) {
			if (errno != ENOSPC)
				failed(t, "dsm_alloc_on", errno, NULL);
			return false;
		}
		o = NULL;
		/* It is zeroes, which violators need not know of. */
		do
			o = dsm_borrow_mut(t->dsm, ref, 0);
		while (!o && again(&end));
		if (!o && errno == ENOSPC && !dsm_drop(t->dsm, ref))
			return false;
	} else {
		o = dsm_alloc(t->dsm, size, ref);
	}
	if (!o) {
		if (errno != ENOSPC)
			failed(t, "a new object", errno, ref);
		return false;
	}
	if (!is_zero(o, ref->size))
		failed(t, "a new object is not zeroes", 0, ref);
	o->id = next_random(&t->random);
	seal(o, ref);
	give_back_mut(t, ref);
	atomic_fetch_add(&shared->made, 1);
	return true;
}

static void read_kids(struct thread *t, const struct object *o)
{
	const struct dsm_ref *refs[KIDS];
	const void *ptrs[KIDS];

	for (uint64_t i = 0; i < o->kids; i++)
		refs[i] = &o->kid[i];
	switch (choose(t, 4)) {
	case 0:
		if (dsm_borrow_many(t->dsm, refs, ptrs, o->kids) != o->kids) {
			failed(t, "dsm_borrow_many", errno, &o->kid[0]);
			return;
		}
		for (uint64_t i = 0; i < o->kids; i++) {
			check(t, ptrs[i], refs[i], "other bytes among many");
			give_back(t, refs[i]);
		}
		break;
	case 1:
		dsm_prefetch(t->dsm, refs, o->kids);
		for (uint64_t i = 0; i < o->kids; i++)
			read_tree(t, refs[i]);
		break;
	default:
		read_tree(t, refs[choose(t, (uint32_t)o->kids)]);
	}
}

void read_tree(struct thread *t, const struct dsm_ref *ref)
{
	const struct object *o = borrow(t, ref);

	if (!o || shared->stop)
		return;
	if (o->kids)
		read_kids(t, o);
	give_back(t, ref);
	atomic_fetch_add(&shared->reads, 1);
}

static void drop_tree(struct thread *t, struct dsm_ref *ref)
{
	struct dsm_ref kid[KIDS];
	struct object *o = choose(t, 2) ? borrow_mut(t, ref, 0) : NULL;
	const struct object *c = o;
	uint64_t kids;

	if (!o)
		c = borrow(t, ref);
	if (!c || shared->stop)
		return;
	kids = c->kids;
	memcpy(kid, c->kid, kids * sizeof(kid[0]));
	if (o) {
		seal(o, ref);
		give_back_mut(t, ref);
	} else {
		give_back(t, ref);
	}
	drop(t, ref);
	for (uint64_t i = 0; i < kids; i++)
		drop_tree(t, &kid[i]);
}

/* Changes an object, and perhaps some of those below it. */
static void change_tree(struct thread *t, struct dsm_ref *ref,
			unsigned int depth)
{
	unsigned int flags = 0;
	struct object *o;
	uint64_t i;

	if (choose(t, 8) == 0) {
		const struct object *c = borrow(t, ref);

		if (!c)
			return;
		flags = c->kids ? 0 : DSM_DISCARD;
		give_back(t, ref);
	}
	o = borrow_mut(t, ref, flags);
	if (!o || shared->stop)
		return;
	o->id = next_random(&t->random);
	i = o->kids ? choose(t, (uint32_t)o->kids) : 0;
	switch (choose(t, 8)) {
	case 0 ... 2:
		if (depth < DEPTH && o->kids < max_kids(ref->size) &&
		    make(t, &o->kid[o->kids]))
			o->kids++;
		break;
	case 3:
		if (o->kids) {
			drop_tree(t, &o->kid[i]);
			o->kid[i] = o->kid[--o->kids];
		}
		break;
	case 4 ... 6:
		if (o->kids)
			change_tree(t, &o->kid[i], depth + 1);
		break;
	}
	seal(o, ref);
	give_back_mut(t, ref);
	atomic_fetch_add(&shared->changes, 1);
}

/* ---- messages ---- */

static bool send_to(unsigned int to, const struct dsm_ref *ref, uint64_t lend)
{
	struct post *post = &shared->post[to];
	unsigned int in, turns = 0;
	bool room;

	/* Nobody is killed who has it. */
	while (atomic_exchange(&post->lock, 1))
		wait_turn(&turns);
	in = atomic_load(&post->in);
	room = in - atomic_load(&post->out) < POST;
	if (room) {
		post->message[in % POST] =
			(struct message){ .ref = *ref, .lend = lend };
		atomic_store(&post->in, in + 1);
	}
	atomic_store(&post->lock, 0);
	return room;
}

static bool take_message(unsigned int to, struct message *m)
{
	struct post *post = &shared->post[to];
	unsigned int out = atomic_load(&post->out);

	if (out == atomic_load(&post->in))
		return false;
	*m = post->message[out % POST];
	atomic_store(&post->out, out + 1);
	return true;
}

/* Returns whether there was a message. */
static bool receive(struct thread *t)
{
	struct message m;

	if (!take_message(t->id, &m))
		return false;
	if (m.lend) {
		read_tree(t, &m.ref);
		atomic_fetch_sub(&shared->lend[m.lend - 1], 1);
	} else if (t->nr == ROOTS_MAX) {
		drop_tree(t, &m.ref);
	} else {
		t->root[t->nr++] = (struct root){ .ref = m.ref };
	}
	return true;
}

/* Is a tree back from all who read it? */
static bool is_back(struct root *r)
{
	if (r->lend && !atomic_load(&shared->lend[r->lend - 1]))
		r->lend = 0;
	return !r->lend;
}

static void lend_out(struct thread *t, struct root *r)
{
	unsigned int i, readers = 1 + choose(t, 4);

	for (i = t->id * LENDS; i < (t->id + 1) * LENDS; i++)
		if (!atomic_load(&shared->lend[i]))
			break;
	if (i == (t->id + 1) * LENDS)
		return;
	/* Not one that another tree of ours still waits for. */
	for (unsigned int k = 0; k < t->nr; k++)
		if (t->root[k].lend == i + 1)
			t->root[k].lend = 0;
	atomic_store(&shared->lend[i], readers);
	r->lend = i + 1;
	while (readers--)
		if (send_to(choose(t, THREADS), &r->ref, r->lend))
			atomic_fetch_add(&shared->lent, 1);
		else
			atomic_fetch_sub(&shared->lend[i], 1);
}

/* ---- a thread ---- */

static void forget_root(struct thread *t, struct root *r)
{
	*r = t->root[--t->nr];
}

static void work(struct thread *t)
{
	uint32_t op = choose(t, 16);
	struct root *r;

	if (t->nr < ROOTS && (op < 4 || !t->nr)) {
		r = &t->root[t->nr];
		r->lend = 0;
		if (make(t, &r->ref))
			t->nr++;
		return;
	}
	r = &t->root[choose(t, t->nr)];
	if (!is_back(r) || (op > 5 && op < 9)) {
		read_tree(t, &r->ref);
	} else if (op <= 5) {
		lend_out(t, r);
	} else if (op == 9) {
		drop_tree(t, &r->ref);
		forget_root(t, r);
	} else if (op == 10) {
		if (send_to(choose(t, THREADS), &r->ref, 0)) {
			atomic_fetch_add(&shared->sent, 1);
			forget_root(t, r);
		}
	} else {
		change_tree(t, &r->ref, 0);
	}
}

static void drop_roots(struct thread *t)
{
	unsigned int turns = 0;

	while (t->nr && !shared->stop) {
		struct root *r = &t->root[t->nr - 1];

		if (!is_back(r)) {
			if (receive(t))
				turns = 0;
			else
				wait_turn(&turns);
			continue;
		}
		t->nr--;
		drop_tree(t, &r->ref);
	}
}

void *thread_main(void *arg)
{
	struct thread *t = arg;
	unsigned int turns = 0;

	seed_thread(t);
	for (unsigned int i = 0; i < shared->ops && !shared->stop; i++) {
		if (choose(t, 3) == 0)
			receive(t);
		if (t->nr || choose(t, 2))
			work(t);
	}
	drop_roots(t);
	atomic_fetch_add(&shared->done, 1);
	/* What was posted by now is all that will ever be. */
	while (atomic_load(&shared->done) < THREADS && !shared->stop)
		if (receive(t))
			turns = 0;
		else
			wait_turn(&turns);
	while (!shared->stop && (receive(t) || t->nr))
		drop_roots(t);
	return NULL;
}
