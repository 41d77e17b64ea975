// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * libdsm: objects.
 *
 * Small objects are granted by their ledger word, here: a shared borrow is a load and
 * a compare; an exclusive one of this node a compare-and-swap LIVE(v) -> EXCL(v), then
 * a look at the claim by which another node may be taking it.  What is homed elsewhere
 * is fetched or moved here by the kernel.  Large objects the kernel grants.
 *
 * What is held exclusively is on a list that the kernel reads when the process dies:
 * a table of addresses by line, with the lowest bit set from before the swap until it has
 * succeeded, and again around the one that ends the borrow.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "internal.h"

/* What a rival does takes it some microseconds; then it is EBUSY or ESTALE. */
#define BUSY_TRIES 12
#define BUSY_FIRST_NS 1000L

/* What hits and what is free is a few instructions; the rest stays out of its way. */
#define SLOW __attribute__((noinline, cold))
#define likely(x) __builtin_expect(!!(x), 1)

static const unsigned char class_lines[SLAB_CLASSES] = { 1,  2,	 3,  4,	 5,
							 6,  7,	 8,  9,	 10,
							 12, 16, 21, 32, 63 };

/* ---- words ---- */

static inline unsigned int word_state(uint64_t word)
{
	return (unsigned int)(word >> DSM_WORD_STATE_SHIFT);
}

static inline unsigned int word_lines(uint64_t word)
{
	return (unsigned int)((word >> DSM_WORD_LINES_SHIFT) &
			      DSM_WORD_LINES_MASK);
}

static inline uint64_t word_version(uint64_t word)
{
	return word & DSM_WORD_VERSION_MASK;
}

/* The word of a live object in another state.  Of what is not live it is nonsense. */
static inline uint64_t live_as(uint64_t live, enum dsm_state state)
{
	return live ^ DSM_WORD(DSM_STATE_LIVE, 0, 0) ^ DSM_WORD(state, 0, 0);
}

/* An offset in lines; beyond all memory if that is not a line's first byte. */
static inline uint64_t lines_in(uint64_t offset)
{
	return offset >> DSM_LINE_SHIFT | offset << (64 - DSM_LINE_SHIFT);
}

/* The line of an address in the range. */
static inline uint64_t line_of(const struct dsm *dsm, uint64_t addr)
{
	return lines_in(addr - dsm->base);
}

/* The line of an address in this node's partition. */
static inline uint64_t own_line_of(const struct dsm *dsm, uint64_t addr)
{
	return lines_in(addr - dsm->own_base);
}

static inline bool line_is_own(const struct dsm *dsm, uint64_t line)
{
	return line - dsm->own_first < dsm->own_lines;
}

static bool is_large(const struct dsm_ref *ref)
{
	return word_lines(ref->version) == DSM_LINES_LARGE;
}

/* Could the handle be one of a small object?  Sets errno. */
static bool is_small(const struct dsm *dsm, const struct dsm_ref *ref)
{
	unsigned int lines = word_lines(ref->version);
	uint64_t line = line_of(dsm, ref->addr);

	if (ref->addr - dsm->base >= dsm->span) {
		errno = ERANGE;
		return false;
	}
	if (line >= dsm->lines || word_state(ref->version) != DSM_STATE_LIVE ||
	    lines < 1 || lines > DSM_MAX_LINES ||
	    ref->size != lines * DSM_LINE_SIZE) {
		errno = EINVAL;
		return false;
	}
	return true;
}

/* Ask the kernel for one small object. */
static int fetch_one(struct dsm *dsm, const struct dsm_ref *ref)
{
	int32_t error = 0;
	struct dsm_fetch_args args = {
		.size = sizeof(args),
		.nr = 1,
		.refs = (uintptr_t)ref,
		.errors = (uintptr_t)&error,
	};

	if (ioctl(dsm->fd, DSM_IOC_FETCH, &args))
		return -1;
	return error ? dsm_fail(-error) : 0;
}

/*
 * Why a word of this node is not what a handle says.  Where the window shows none the
 * kernel knows whether it is another region's.
 */
static int why_not(struct dsm *dsm, const struct dsm_ref *ref, uint64_t word)
{
	if (!word)
		return fetch_one(dsm, ref) ? errno : ESTALE;
	if (word_state(word) == DSM_STATE_EXCL &&
	    word_version(word) == word_version(ref->version))
		return EBUSY;
	if (word == DSM_WORD(DSM_STATE_POISON, word_lines(ref->version),
			     word_version(ref->version)))
		return EOWNERDEAD;
	return ESTALE;
}

static void *ref_ptr(const struct dsm_ref *ref)
{
	return (void *)(uintptr_t)ref->addr;
}

/* Wait a random while, longer each time.  Returns false when that is enough. */
static bool back_off(unsigned int *tries)
{
	struct timespec now, pause = { 0, 0 };

	if (errno != EBUSY || *tries == BUSY_TRIES)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	pause.tv_nsec = (BUSY_FIRST_NS << *tries) +
			now.tv_nsec % (BUSY_FIRST_NS << *tries);
	nanosleep(&pause, NULL);
	++*tries;
	return true;
}

/* ---- what this process holds ---- */

/* The first place to look at: neighbours share pages of the list. */
static inline _Atomic(uint64_t) *held_place(const struct dsm *dsm, uint64_t own)
{
	return &dsm->held[own % DSM_HELD_SLOTS];
}

static _Atomic(uint64_t) *held_next(const struct dsm *dsm,
				    _Atomic(uint64_t) *slot)
{
	return &dsm->held[(slot + 1 - dsm->held) % DSM_HELD_SLOTS];
}

/* Take an empty slot for what is about to be borrowed. */
static inline bool held_try(_Atomic(uint64_t) *slot, uint64_t addr)
{
	uint64_t empty = 0;

	return atomic_compare_exchange_strong(slot, &empty, addr + 1);
}

/* Before the swap.  Returns the slot, or NULL if there is none (EACCES, ENOMEM). */
static _Atomic(uint64_t) *held_enter(struct dsm *dsm, uint64_t addr)
{
	_Atomic(uint64_t) *slot = held_place(dsm, own_line_of(dsm, addr));
	unsigned int reach, seen;

	if (!dsm->held_lines) {
		errno = EACCES;
		return NULL;
	}
	for (reach = 0; reach < DSM_HELD_SLOTS; reach++) {
		if (!atomic_load_explicit(slot, memory_order_relaxed) &&
		    held_try(slot, addr))
			break;
		slot = held_next(dsm, slot);
	}
	if (reach == DSM_HELD_SLOTS) {
		errno = ENOMEM;
		return NULL;
	}
	seen = atomic_load_explicit(&dsm->held_reach, memory_order_relaxed);
	while (reach > seen &&
	       !atomic_compare_exchange_weak(&dsm->held_reach, &seen, reach))
		;
	return slot;
}

static _Atomic(uint64_t) *held_find(struct dsm *dsm, uint64_t addr)
{
	_Atomic(uint64_t) *slot = held_place(dsm, own_line_of(dsm, addr));
	unsigned int reach;

	for (reach = 0; reach <= atomic_load(&dsm->held_reach); reach++) {
		if (atomic_load_explicit(slot, memory_order_relaxed) == addr)
			return slot;
		slot = held_next(dsm, slot);
	}
	return NULL;
}

static inline void held_set(_Atomic(uint64_t) *slot, uint64_t value)
{
	atomic_store_explicit(slot, value, memory_order_release);
}

/* ---- allocating small objects ---- */

void dsm_slabs_init(struct dsm *dsm)
{
	unsigned int i;

	for (i = 0; i < SLAB_CLASSES; i++)
		pthread_mutex_init(&dsm->slabs[i].lock, NULL);
}

void dsm_slabs_destroy(struct dsm *dsm)
{
	unsigned int i;

	for (i = 0; i < SLAB_CLASSES; i++)
		pthread_mutex_destroy(&dsm->slabs[i].lock);
}

static unsigned int lines_of(size_t size)
{
	return (unsigned int)((size + DSM_LINE_SIZE - 1) / DSM_LINE_SIZE);
}

static unsigned int class_of(unsigned int lines)
{
	unsigned int i = 0;

	while (class_lines[i] < lines)
		i++;
	return i;
}

/* Allocate in the slab that is at hand.  @n lines.  Returns false if it is full. */
static bool slab_take(struct dsm *dsm, struct slab *slab, unsigned int n,
		      struct dsm_ref *ref, _Atomic(uint64_t) **held)
{
	uint64_t first = line_of(dsm, slab->addr);

	for (; slab->addr && slab->next + n <= 4096 / DSM_LINE_SIZE;
	     slab->next += n) {
		_Atomic(uint64_t) *word = &dsm->ledger[first + slab->next];
		uint64_t free =
			atomic_load_explicit(word, memory_order_relaxed);
		uint64_t v = word_version(free) + 1;

		/* With other lines in it the kernel has taken the page back. */
		if (free != DSM_WORD(DSM_STATE_FREE, n, v - 1))
			continue;
		ref->addr = slab->addr + slab->next * DSM_LINE_SIZE;
		*held = held_enter(dsm, ref->addr);
		if (!*held)
			return true;
		if (atomic_compare_exchange_strong(
			    word, &free, DSM_WORD(DSM_STATE_EXCL, n, v))) {
			held_set(*held, ref->addr);
			ref->version = DSM_WORD(DSM_STATE_LIVE, n, v);
			ref->size = n * DSM_LINE_SIZE;
			slab->next += n;
			return true;
		}
		held_set(*held, 0);
	}
	return false;
}

/* A new object of @lines, in EXCL and on the list; its bytes are old ones. */
static int small_alloc(struct dsm *dsm, unsigned int lines, struct dsm_ref *ref)
{
	unsigned int class = class_of(lines), n = class_lines[class];
	struct slab *slab = &dsm->slabs[class];
	_Atomic(uint64_t) *held = NULL;
	int ret = 0;

	pthread_mutex_lock(&slab->lock);
	while (!ret && !slab_take(dsm, slab, n, ref, &held)) {
		struct dsm_slab_args args = { .size = sizeof(args),
					      .lines = n };

		ret = ioctl(dsm->fd, DSM_IOC_SLAB, &args);
		slab->addr = ret ? 0 : args.addr;
		slab->next = 0;
	}
	pthread_mutex_unlock(&slab->lock);
	return ret || !held ? -1 : 0;
}

/* Give an object that is in EXCL and on the list back. */
static void small_free(struct dsm *dsm, const struct dsm_ref *ref,
		       _Atomic(uint64_t) *held)
{
	/* If we die behind the exchange another process may hold the line. */
	held_set(held, ref->addr | 1);
	atomic_exchange(&dsm->ledger[line_of(dsm, ref->addr)],
			DSM_WORD(DSM_STATE_FREE, word_lines(ref->version),
				 word_version(ref->version)));
	held_set(held, 0);
}

static int object_ioctl(struct dsm *dsm, unsigned long request,
			struct dsm_ref *ref, unsigned int flags)
{
	struct dsm_object_args args = {
		.size = sizeof(args),
		.flags = flags,
		.ref = *ref,
	};

	if (ioctl(dsm->fd, request, &args))
		return -1;
	*ref = args.ref;
	return 0;
}

DSM_UNCHECKED
void *dsm_alloc(struct dsm *dsm, size_t size, struct dsm_ref *ref)
{
	struct dsm_ref new = { .size = size };

	if (size == 0 || size > DSM_MAX_LINES * DSM_LINE_SIZE) {
		if (object_ioctl(dsm, DSM_IOC_ALLOC, &new, 0))
			return NULL;
	} else {
		if (small_alloc(dsm, lines_of(size), &new))
			return NULL;
		memset(ref_ptr(&new), 0, new.size);
	}
	*ref = new;
	return ref_ptr(ref);
}

int dsm_alloc_on(struct dsm *dsm, unsigned int node, size_t size,
		 struct dsm_ref *ref)
{
	struct dsm_alloc_args args = {
		.size = sizeof(args),
		.node = node,
		.ref.size = size,
	};

	/* As here: it can move only to an object of as many lines. */
	if (size && size <= DSM_MAX_LINES * DSM_LINE_SIZE)
		args.ref.size =
			class_lines[class_of(lines_of(size))] * DSM_LINE_SIZE;
	if (ioctl(dsm->fd, DSM_IOC_ALLOC_ON, &args))
		return -1;
	*ref = args.ref;
	return 0;
}

/* ---- shared borrows ---- */

static int small_fetch(struct dsm *dsm, const struct dsm_ref *ref)
{
	unsigned int tries = 0;

	do {
		if (!fetch_one(dsm, ref))
			return 0;
	} while (back_off(&tries));
	return -1;
}

SLOW static const void *borrow_slowly(struct dsm *dsm,
				      const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;
	unsigned int tries = 0;

	if (is_large(ref)) {
		while (object_ioctl(dsm, DSM_IOC_BORROW, &copy, 0))
			if (!back_off(&tries))
				return NULL;
		return ref_ptr(ref);
	}
	if (!is_small(dsm, ref))
		return NULL;
	if (!line_is_own(dsm, line_of(dsm, ref->addr)))
		return small_fetch(dsm, ref) ? NULL : ref_ptr(ref);
	do {
		uint64_t word =
			atomic_load(&dsm->ledger[line_of(dsm, ref->addr)]);

		if (word == ref->version)
			return ref_ptr(ref);
		errno = why_not(dsm, ref, word);
	} while (back_off(&tries));
	return NULL;
}

/* Is the version of a handle of a small object here?  FROZEN and 0 never match. */
static inline bool is_here(const struct dsm *dsm, const struct dsm_ref *ref)
{
	uint64_t line = line_of(dsm, ref->addr), version = ref->version;

	/* Acquire: the bytes are read behind it. */
	return line < dsm->lines && (int64_t)version < 0 &&
	       atomic_load_explicit(&dsm->ledger[line], memory_order_acquire) ==
		       version;
}

DSM_UNCHECKED
const void *dsm_borrow(struct dsm *dsm, const struct dsm_ref *ref)
{
	const void *p = ref_ptr(ref);

	if (likely(is_here(dsm, ref)))
		return p;
	return borrow_slowly(dsm, ref);
}

SLOW static int return_slowly(struct dsm *dsm, const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;
	uint64_t line, word;

	if (is_large(ref))
		return object_ioctl(dsm, DSM_IOC_RETURN, &copy, 0);
	if (!is_small(dsm, ref))
		return -1;
	line = line_of(dsm, ref->addr);
	word = atomic_load_explicit(&dsm->ledger[line], memory_order_relaxed);
	if (word == ref->version)
		return 0;
	if (word || line_is_own(dsm, line))
		return dsm_fail(ESTALE);
	/*
	 * Evicted meanwhile, and the page may have been filled again: as it was, if its
	 * home has that version even now.
	 */
	if (!small_fetch(dsm, ref))
		return 0;
	return errno == EHOSTDOWN || errno == EIDRM || errno == ENOMEM
		       ? -1
		       : dsm_fail(ESTALE);
}

DSM_UNCHECKED
int dsm_return(struct dsm *dsm, const struct dsm_ref *ref)
{
	/* What was read was read before this. */
	atomic_thread_fence(memory_order_acquire);
	if (likely(is_here(dsm, ref)))
		return 0;
	return return_slowly(dsm, ref);
}

/* ---- exclusive borrows ---- */

/* Does a claim say that a peer takes this version, or has taken it? */
static inline bool is_claimed(uint64_t claim, uint64_t word)
{
	return claim >> DSM_CLAIM_STATE_SHIFT &&
	       word_version(claim) == word_version(word);
}

/*
 * @from -> @excl at our line @own, on the list in @slot.  Returns false, and nothing
 * has changed, if the word is another, or a peer takes the object, or, with
 * @unclaimed, there is any claim at all.
 */
static inline bool own_swap(struct dsm *dsm, uint64_t own,
			    _Atomic(uint64_t) *word, uint64_t addr,
			    uint64_t from, uint64_t excl, bool unclaimed,
			    _Atomic(uint64_t) *slot)
{
	uint64_t claim, found = from;

	if (!likely(atomic_compare_exchange_strong(word, &found, excl)))
		goto leave;
	/* The swap is before it: pairs with the mover's swap, then READ. */
	claim = atomic_load(&dsm->claims[own]);
	if (likely(!claim) || (!unclaimed && !is_claimed(claim, from))) {
		held_set(slot, addr);
		return true;
	}
	atomic_exchange(word, from);
leave:
	held_set(slot, 0);
	return false;
}

/* LIVE(v) -> EXCL(v) at home.  Returns the slot, or NULL. */
static _Atomic(uint64_t) *own_take(struct dsm *dsm, const struct dsm_ref *ref,
				   unsigned int flags)
{
	uint64_t own = own_line_of(dsm, ref->addr);
	_Atomic(uint64_t) *at = &dsm->own_ledger[own], *slot;
	uint64_t claim, word = atomic_load(at);

	if (word != ref->version &&
	    !((flags & DSM_ACCEPT) &&
	      word == live_as(ref->version, DSM_STATE_POISON))) {
		errno = why_not(dsm, ref, word);
		return NULL;
	}
	slot = held_enter(dsm, ref->addr);
	if (!slot ||
	    own_swap(dsm, own, at, ref->addr, word,
		     live_as(ref->version, DSM_STATE_EXCL), false, slot))
		return slot;
	claim = atomic_load(&dsm->claims[own]);
	if (is_claimed(claim, word) &&
	    claim >> DSM_CLAIM_STATE_SHIFT == DSM_CLAIM_FREED)
		errno = ESTALE;
	else
		errno = EBUSY; /* it is undecided, or has changed just now */
	return NULL;
}

/* Take a small object of another node into a new one of ours. */
static int far_take(struct dsm *dsm, struct dsm_ref *ref, unsigned int flags)
{
	struct dsm_move_args args = {
		.size = sizeof(args),
		.flags = flags,
		.ref = *ref,
	};
	struct dsm_ref here;
	int err;

	if (small_alloc(dsm, word_lines(ref->version), &here))
		return -1;
	args.to = here.addr;
	if (!ioctl(dsm->fd, DSM_IOC_MOVE, &args)) {
		if (flags & DSM_DISCARD)
			memset(ref_ptr(&here), 0, here.size);
		*ref = here;
		return 0;
	}
	err = errno;
	small_free(dsm, &here, held_find(dsm, here.addr));
	return dsm_fail(err);
}

SLOW static void *borrow_mut_slowly(struct dsm *dsm, struct dsm_ref *ref,
				    unsigned int flags)
{
	unsigned int tries = 0;

	if (flags & ~(DSM_DISCARD | DSM_ACCEPT)) {
		errno = EINVAL;
		return NULL;
	}
	if (is_large(ref)) {
		do {
			if (!object_ioctl(dsm, DSM_IOC_BORROW, ref,
					  flags | DSM_BORROW_EXCL))
				return ref_ptr(ref);
		} while (back_off(&tries));
		return NULL;
	}
	if (!is_small(dsm, ref))
		return NULL;
	do {
		if (line_is_own(dsm, line_of(dsm, ref->addr))) {
			if (own_take(dsm, ref, flags))
				return ref_ptr(ref);
		} else if (!far_take(dsm, ref, flags)) {
			return ref_ptr(ref);
		}
	} while (back_off(&tries));
	return NULL;
}

DSM_UNCHECKED
void *dsm_borrow_mut(struct dsm *dsm, struct dsm_ref *ref, unsigned int flags)
{
	uint64_t addr = ref->addr, version = ref->version;
	uint64_t own = own_line_of(dsm, addr);
	_Atomic(uint64_t) *word = &dsm->own_ledger[own], *slot;

	if (!likely(!flags && own < dsm->held_lines && (int64_t)version < 0 &&
		    atomic_load(word) == version))
		return borrow_mut_slowly(dsm, ref, flags);
	slot = held_place(dsm, own);
	/* What fails here fails again there, or there it waits. */
	if (!likely(held_try(slot, addr) &&
		    own_swap(dsm, own, word, addr, version,
			     live_as(version, DSM_STATE_EXCL), true, slot)))
		return borrow_mut_slowly(dsm, ref, 0);
	return (void *)(uintptr_t)addr;
}

/* EXCL(v) -> LIVE(v + 1), and off the list.  Returns false if it was not EXCL(v). */
static inline bool own_publish(struct dsm *dsm, uint64_t own,
			       struct dsm_ref *ref, _Atomic(uint64_t) *slot)
{
	uint64_t addr = ref->addr, mine = addr;
	uint64_t excl, next;

	/* If we die behind the swap of the word another process may hold it. */
	if (!likely(atomic_compare_exchange_strong(slot, &mine, addr + 1)))
		return false;
	excl = live_as(ref->version, DSM_STATE_EXCL);
	next = ref->version + 1;
	/* A locked store, behind the bytes; another thread may be faster. */
	if (!likely(atomic_compare_exchange_strong(&dsm->own_ledger[own], &excl,
						   next))) {
		held_set(slot, addr);
		return false;
	}
	held_set(slot, 0);
	ref->version = next;
	return true;
}

SLOW static int return_mut_slowly(struct dsm *dsm, struct dsm_ref *ref)
{
	uint64_t own = own_line_of(dsm, ref->addr);
	_Atomic(uint64_t) *slot;

	if (is_large(ref))
		return object_ioctl(dsm, DSM_IOC_RETURN, ref, DSM_BORROW_EXCL);
	if (!is_small(dsm, ref))
		return -1;
	if (own < dsm->held_lines) {
		slot = held_find(dsm, ref->addr);
		if (slot && own_publish(dsm, own, ref, slot))
			return 0;
	}
	return dsm_fail(EPERM);
}

DSM_UNCHECKED
int dsm_return_mut(struct dsm *dsm, struct dsm_ref *ref)
{
	uint64_t own = own_line_of(dsm, ref->addr);

	if (likely(own < dsm->held_lines &&
		   own_publish(dsm, own, ref, held_place(dsm, own))))
		return 0;
	return return_mut_slowly(dsm, ref);
}

DSM_UNCHECKED
int dsm_drop(struct dsm *dsm, struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;
	_Atomic(uint64_t) *held;
	unsigned int tries = 0;

	if (!is_large(ref) && !is_small(dsm, ref))
		return -1;
	if (is_large(ref) || !line_is_own(dsm, line_of(dsm, ref->addr))) {
		while (object_ioctl(dsm, DSM_IOC_DROP, &copy, 0))
			if (!back_off(&tries))
				return -1;
	} else {
		while (!(held = own_take(dsm, ref, DSM_ACCEPT)))
			if (!back_off(&tries))
				return -1;
		small_free(dsm, ref, held);
	}
	*ref = (struct dsm_ref){ 0 };
	return 0;
}

DSM_UNCHECKED
int dsm_freeze(struct dsm *dsm, struct dsm_ref *ref)
{
	return object_ioctl(dsm, DSM_IOC_FREEZE, ref, 0);
}

/* ---- many ---- */

/* Handles that have to be fetched. */
struct misses {
	struct dsm_ref refs[DSM_FETCH_MAX];
	int32_t errors[DSM_FETCH_MAX];
	size_t nr;
};

static void misses_fetch(struct dsm *dsm, struct misses *m, unsigned int flags)
{
	struct dsm_fetch_args args = {
		.size = sizeof(args),
		.flags = flags,
		.nr = (uint32_t)m->nr,
		.refs = (uintptr_t)m->refs,
		.errors = (uintptr_t)m->errors,
	};

	if (m->nr)
		ioctl(dsm->fd, DSM_IOC_FETCH, &args);
	m->nr = 0;
}

/*
 * Have small objects of other nodes here, as far as that is possible, and begin to
 * fetch large ones that are borrowed.
 */
static void fetch_many(struct dsm *dsm, const struct dsm_ref *const *refs,
		       size_t n, unsigned int flags)
{
	struct misses *m = malloc(sizeof(*m));
	size_t i;

	if (!m)
		return;
	m->nr = 0;
	for (i = 0; i < n; i++) {
		if (is_large(refs[i])
			    ? (flags & DSM_FETCH_NOWAIT)
			    : !is_here(dsm, refs[i]) &&
				      is_small(dsm, refs[i]) &&
				      !line_is_own(dsm,
						   line_of(dsm, refs[i]->addr)))
			m->refs[m->nr++] = *refs[i];
		if (m->nr == DSM_FETCH_MAX)
			misses_fetch(dsm, m, flags);
	}
	misses_fetch(dsm, m, flags);
	free(m);
}

size_t dsm_borrow_many(struct dsm *dsm, const struct dsm_ref *const *refs,
		       const void **ptrs, size_t n)
{
	size_t i, borrowed = 0;
	int error = 0;

	/* Then each for itself: most are here, the others say why not. */
	fetch_many(dsm, refs, n, 0);
	for (i = 0; i < n; i++) {
		ptrs[i] = dsm_borrow(dsm, refs[i]);
		borrowed += ptrs[i] != NULL;
		if (!ptrs[i] && !error)
			error = errno;
	}
	if (error)
		errno = error;
	return borrowed;
}

void dsm_prefetch(struct dsm *dsm, const struct dsm_ref *const *refs, size_t n)
{
	int error = errno;

	fetch_many(dsm, refs, n, DSM_FETCH_NOWAIT);
	errno = error;
}
