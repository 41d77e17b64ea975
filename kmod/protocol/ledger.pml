/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One page at its home: ledger words, claims, bytes; the home's threads and the
 * NIC requests of other nodes.  What each word means and what is broken by each
 * switch: protocol.md.
 *
 * Bounds:
 *	LINES	1 or 2 lines: {1} or, re-carved at will, {1, 1} and {2}
 *	MAXV	largest version of a line
 *	NHOME	threads of the home	NREM	other nodes
 *	OPS	operations of each other node
 * Programs:
 *	PROG	0 well-behaved: one owner, no exclusive use beside shared use
 *		1 violating: everybody uses any handle that ever existed
 *		2 as 0, with one more node that uses spent handles only
 *		3 as 1, and other nodes use invented handles as well
 */
#ifndef LINES
#define LINES 1
#endif
#ifndef MAXV
#define MAXV 4
#endif
#ifndef NHOME
#define NHOME 1
#endif
#ifndef NREM
#define NREM 1
#endif
#ifndef OPS
#define OPS 1
#endif
#ifndef PROG
#define PROG 1
#endif
#define WELL (PROG == 0 || PROG == 2)

/* The ledger word: state, lines, version; FREE and LIVE carry the lines, too. */
#define FREE	0
#define LIVE	1
#define EXCL	2
#define CONT	3
#define W(s, n, v)	((s) * 32 + (n) * 8 + (v))
#define STATE(w)	((w) / 32)
#define SIZE(w)		(((w) / 8) % 4)
#define VERSION(w)	((w) % 8)

/* The claim: state, node, version; 0 is none. */
#define MOVING	1
#define FREED	2
#define C(s, node, v)	((s) * 32 + (node) * 8 + (v))

byte word[LINES], claim[LINES], bytes[LINES];

/* A version's bytes; every exclusive borrow writes. */
#define STAMP(a, v)	(16 + (a) * 8 + (v))

/* Ghosts: versions, as bit masks, that were published with 1 and 2 lines, that
 * found an exclusive owner, that were dropped by another node; who writes; what
 * a well-behaved program holds. */
byte issued1[LINES], issued2[LINES], spent[LINES], dropped[LINES];
bit writing[LINES];
byte cur[LINES], shared[LINES];
bit busy[LINES];
#define BIT(v)	(1 << (v))

/* A store of the home's ledger: a locked exchange; plain, it waits in a buffer (of
 * one thread) until the next locked operation or the processor's good time. */
#if PLAIN_STORES
bit buffered;
byte buffer_at, buffer_word;
#define LOCKED			!buffered ->
#define STORE(at, w)		buffer_at = at; buffer_word = w; buffered = 1

active proctype Buffer()
{
end:	do
	:: d_step { buffered -> word[buffer_at] = buffer_word; buffered = 0 }
	od
}
#else
#define LOCKED
#define STORE(at, w)		word[at] = w
#endif

/* A NIC's CAS excludes other NICs' CAS alone, and stores on failure, too. */
bit nic;
#define NIC_CAS(target, expect, new, old)				\
	atomic { nic == 0 -> nic = 1; old = target };			\
	d_step {							\
		if							\
		:: old == (expect) -> target = (new)			\
		:: else -> target = old					\
		fi;							\
		nic = 0							\
	}

#define CPU_CAS(target, expect, new, ok)				\
	LOCKED ok = (target == (expect));				\
	if								\
	:: ok -> target = (new)						\
	:: else								\
	fi

/* Any handle that was published: a, n, v; v = 0 if there is none. */
inline any_handle()
{
	a = 0;
	if
	:: skip
	:: LINES > 1 -> a = 1
	fi;
	v = 1;
	do
	:: v < MAXV -> v++
	:: break
	od;
	if
	:: issued1[a] & BIT(v) -> n = 1
	:: issued2[a] & BIT(v) -> n = 2
	:: else -> v = 0; n = 0; a = 0
	fi
}

inline spent_handle()
{
	any_handle();
	if
	:: v && !(spent[a] & BIT(v)) -> v = 0; n = 0; a = 0
	:: else
	fi
}

inline forged_handle()
{
	a = 0;
	if
	:: skip
	:: LINES > 1 -> a = 1
	fi;
	v = 1;
	do
	:: v < MAXV -> v++
	:: break
	od;
	n = 1;
	if
	:: skip
	:: a == 0 && LINES > 1 -> n = 2
	fi
}

/* The handle that a well-behaved program holds. */
inline own_handle()
{
	a = 0;
	if
	:: skip
	:: LINES > 1 -> a = 1
	fi;
	if
	:: cur[a] && !busy[a] -> v = cur[a]; n = (issued2[a] & BIT(v) -> 2 : 1)
	:: else -> a = 0
	fi
}

inline get_exclusive()
{
	atomic {
		if
#if WELL
		:: !stale -> own_handle();
			if
			:: v && shared[a] -> v = 0; n = 0; a = 0
			:: v && !shared[a] -> busy[a] = 1
			:: else
			fi
		:: stale -> spent_handle()
#else
		:: any_handle()
#if PROG == 3
		:: me == NREM -> forged_handle()
#endif
#endif
		fi
	}
}

inline get_shared()
{
	atomic {
		if
#if WELL
		:: !stale -> own_handle();
			if
			:: v -> shared[a]++
			:: else
			fi
		:: stale -> spent_handle()
#else
		:: any_handle()
#if PROG == 3
		:: me == NREM -> forged_handle()
#endif
#endif
		fi
	}
}

#if WELL
#define MUST(c)		assert(stale || (c))
#define PUT_SHARED()	if :: !stale -> shared[a]-- :: else fi
#define GAVE_UP()	if :: !stale -> cur[a] = 0; busy[a] = 0 :: else fi
#define UNCHANGED()	if :: !stale -> busy[a] = 0 :: else fi
#else
#define MUST(c)		skip
#define PUT_SHARED()	skip
#define GAVE_UP()	skip
#define UNCHANGED()	skip
#endif

#define EXACT(d0, d1)	assert((d0) == STAMP(a, v) && (n < 2 || (d1) == STAMP(a, v)))

/* A version has one exclusive owner. */
inline owned()
{
	assert(!(spent[a] & BIT(v)));
	spent[a] = spent[a] | BIT(v)
}

inline publish(version)
{
	STORE(a, W(LIVE, n, version));
	if
	:: n == 1 -> issued1[a] = issued1[a] | BIT(version)
	:: else -> issued2[a] = issued2[a] | BIT(version)
	fi;
#if WELL
	cur[a] = version;
	busy[a] = 0
#endif
}

inline begin_write()
{
	assert(!writing[a]);
	writing[a] = 1;
	if
	:: n == 2 -> assert(!writing[1]); writing[1] = 1
	:: else
	fi
}

inline end_write()
{
	writing[a] = 0;
	if
	:: n == 2 -> writing[1] = 0
	:: else
	fi
}

/* From EXCL(n, v) to LIVE(n, v + 1). */
inline write_and_publish()
{
#if EARLY_VERSION
	d_step { publish(v + 1) };
	bytes[a] = STAMP(a, v + 1);
	if
	:: n == 2 -> bytes[1] = STAMP(a, v + 1)
	:: else
	fi;
	d_step { end_write() }
#else
	bytes[a] = STAMP(a, v + 1);
	if
	:: n == 2 -> bytes[1] = STAMP(a, v + 1)
	:: else
	fi;
	d_step { end_write(); publish(v + 1) }
#endif
}

proctype Home()
{
	byte a, n, v, w, x, d0, d1;
	bit ok;
	bit stale = 0;
	byte me = 0;

	do
	:: break

	/* Allocate a slot of the size that its FREE word says. */
	:: atomic {
		if
		:: skip
		:: LINES > 1 -> a = 1
		fi;
		w = word[a];
		n = SIZE(w);
		v = VERSION(w);
#if ABOVE_ALL
		if
		:: n == 2 && VERSION(word[1]) > v -> v = VERSION(word[1])
		:: else
		fi;
#endif
		v++;
		ok = (STATE(w) == FREE && v < MAXV)
	   }
	   if
	   :: ok -> d_step {
			CPU_CAS(word[a], w, W(EXCL, n, v), ok);
			if
			:: ok -> begin_write()
			:: else
			fi
		}
	   :: else
	   fi;
	   if
	   :: ok -> write_and_publish()
	   :: else
	   fi;
	   d_step { a = 0; n = 0; v = 0; w = 0; ok = 0 }

#if LINES > 1
	/* Join two free slots: each is taken as an allocator takes it. */
	:: atomic { STATE(word[0]) == FREE && SIZE(word[0]) == 1 -> w = word[0] };
	   d_step { CPU_CAS(word[0], w, W(EXCL, 1, VERSION(w)), ok) };
	   if
	   :: ok ->
		x = word[1];
#if BLIND_CONT
		ok = (STATE(x) == FREE);
		if
		:: ok -> word[1] = W(CONT, 0, VERSION(x))
		:: else
		fi;
#else
		if
		:: STATE(x) == FREE ->
#if HEAD_FIRST
			d_step { CPU_CAS(word[1], x, W(EXCL, 0, VERSION(x)), ok) }
#else
			d_step { CPU_CAS(word[1], x, W(CONT, 0, VERSION(x)), ok) }
#endif
		:: else -> ok = 0
		fi;
#endif
		word[0] = (ok -> W(FREE, 2, VERSION(w)) : w);
#if HEAD_FIRST
		if
		:: ok -> word[1] = W(CONT, 0, VERSION(x))
		:: else
		fi
#endif
	   :: else
	   fi;
	   d_step { w = 0; x = 0; ok = 0 }

	/* Split one. */
	:: atomic { STATE(word[0]) == FREE && SIZE(word[0]) == 2 -> w = word[0] };
	   d_step { CPU_CAS(word[0], w, W(EXCL, 2, VERSION(w)), ok) };
	   if
	   :: ok ->
#if FORGET_VERSION
		word[1] = W(FREE, 1, 0);
		word[0] = W(FREE, 1, VERSION(w))
#else
		word[1] = W(FREE, 1, VERSION(word[1]));
		word[0] = W(FREE, 1, VERSION(w))
#endif
	   :: else
	   fi;
	   d_step { w = 0; ok = 0 }
#endif

	/* Borrow exclusively, or drop. */
	:: get_exclusive();
	   if
	   :: v ->
#if LOAD_FIRST
		x = claim[a];
		d_step { CPU_CAS(word[a], W(LIVE, n, v), W(EXCL, n, v), ok) };
#else
		d_step { CPU_CAS(word[a], W(LIVE, n, v), W(EXCL, n, v), ok) };
		if
		:: ok -> x = claim[a]
		:: else
		fi;
#endif
		if
		:: ok && x && VERSION(x) == v -> d_step { STORE(a, W(LIVE, n, v)); ok = 0 }
		:: else
		fi;
		MUST(ok);
		if
		:: ok -> d_step { owned(); begin_write() };
			if
			:: v < MAXV -> write_and_publish()
#if KEEP_VERSION
			:: bytes[a] = 1;
			   d_step { end_write(); spent[a] = spent[a] & ~BIT(v); publish(v) }
#endif
			:: d_step { end_write(); STORE(a, W(FREE, n, v)); GAVE_UP() }
			fi
		:: else
		fi
	   :: else
	   fi;
	   d_step { a = 0; n = 0; v = 0; x = 0; ok = 0 }

	/* Borrow shared: the check, the bytes, the check again. */
	:: get_shared();
	   if
	   :: v ->
		d_step { LOCKED ok = (word[a] == W(LIVE, n, v)) };
		MUST(ok);
		if
		:: ok ->
			d0 = bytes[a];
			if
			:: n == 2 -> d1 = bytes[1]
			:: else
			fi;
			atomic {
				MUST(word[a] == W(LIVE, n, v));
				if
				:: word[a] == W(LIVE, n, v) -> EXACT(d0, d1)
				:: else
				fi
			}
		:: else
		fi;
		d_step { PUT_SHARED() }
	   :: else
	   fi;
	   d_step { a = 0; n = 0; v = 0; d0 = 0; d1 = 0; ok = 0 }

	/* Reclaim what another node took or dropped. */
	:: atomic {
		if
		:: skip
		:: LINES > 1 -> a = 1
		fi;
		x = claim[a];
		ok = (STATE(x) == FREED)
	   };
	   if
	   :: ok ->
		w = word[a];
		ok = (STATE(w) == LIVE && VERSION(w) == VERSION(x));
		if
		:: ok -> d_step {
				CPU_CAS(word[a], w, W(EXCL, SIZE(w), VERSION(w)), ok);
				assert(!ok || ((spent[a] | dropped[a]) & BIT(VERSION(w))))
			}
		:: else
		fi;
		if
		:: ok ->
			NIC_CAS(claim[a], x, 0, d0);
			d_step { STORE(a, W(FREE, SIZE(w), VERSION(w))) }
		:: else
		fi
	   :: else
	   fi;
	   d_step { a = 0; w = 0; x = 0; d0 = 0; ok = 0 }
	od
}

/* One READ of an object; its packets in any order. */
inline read_bytes()
{
	if
	:: n < 2 -> d0 = bytes[a]
	:: n == 2 -> d0 = bytes[a]; d1 = bytes[1]
	:: n == 2 -> d1 = bytes[1]; d0 = bytes[a]
	fi
}

proctype Node(byte me; bit stale)
{
	byte a, n, v, w, old, expect, d0, d1, ops;
	bit won, first;

	do
	:: break

	/* Fetch: bytes, word; a lost answer has both sampled again, in order. */
	:: ops < OPS && !stale -> ops++;
#if JOIN
	   first = 1;
	   n = LINES;
	   read_bytes();
	   w = word[0];
	   n = 0;
	   get_shared();
	   if
	   :: v && a == 0 ->
#else
	   get_shared();
	   if
	   :: v ->
#if !WORD_AFTER
again:		w = word[a];
		first = (w == W(LIVE, n, v));
#else
again:		first = 1;
#endif
		read_bytes();
		if
		:: goto again
		:: skip
		fi;
#if WORD_FIRST
		w = (first -> w : 0);
#else
resample:	w = word[a];
		if
		:: goto resample
		:: goto again
		:: skip
		fi;
#endif
#endif
		w = (first -> w : 0);
		MUST(w == W(LIVE, n, v));
		if
		:: w == W(LIVE, n, v) -> EXACT(d0, d1)
		:: else
		fi;
		d_step { PUT_SHARED() }
	   :: else -> d_step { if :: v -> PUT_SHARED() :: else fi }
	   fi;
	   d_step { a = 0; n = 0; v = 0; w = 0; d0 = 0; d1 = 0; first = 0 }

	/* Move: claim, word, bytes in one chain. */
	:: ops < OPS -> ops++;
	   get_exclusive();
	   if
	   :: v ->
#if ONE_WORD
		NIC_CAS(word[a], W(LIVE, n, v), W(CONT, me, v), old);
		won = (old == W(LIVE, n, v));
		read_bytes();
		if
		:: won -> w = word[a]; won = (w == W(CONT, me, v))
		:: else
		fi;
		if
		:: won -> d_step { owned(); GAVE_UP() };
			EXACT(d0, d1);
			NIC_CAS(word[a], W(CONT, me, v), W(FREE, n, v), old)
		:: else
		fi
#else
		do
		:: NIC_CAS(claim[a], expect, C(MOVING, me, v), old);
		   w = word[a];
		   if
		   :: old == expect -> won = 1; break
		   :: old != expect && old == 0 -> expect = 0
#if STEAL_BLIND
		   :: old != expect && old && VERSION(old) < v -> expect = old
		   :: old != expect && old && VERSION(old) >= v -> break
#else
		   :: old != expect && old && VERSION(old) < v &&
		      w == W(LIVE, n, v) -> expect = old
		   :: old != expect && old && !(VERSION(old) < v &&
		      w == W(LIVE, n, v)) -> break
#endif
		   fi
		od;
		if
		:: won ->
#if EARLY_FREE
			if
			:: w == W(LIVE, n, v) ->
				NIC_CAS(claim[a], C(MOVING, me, v), C(FREED, 0, v), old)
			:: else
			fi;
			dropped[a] = dropped[a] | BIT(v);
#endif
resample2:		w = word[a];
			if
			:: goto resample2
			:: skip
			fi;
again2:			read_bytes();
			if
			:: goto again2
			:: goto resample2
			:: skip
			fi;
			MUST(w == W(LIVE, n, v));
			if
			:: w == W(LIVE, n, v) ->
				if
				:: d_step { owned(); GAVE_UP() };
				   EXACT(d0, d1);
				   NIC_CAS(claim[a], C(MOVING, me, v), C(FREED, 0, v), old);
#if !EARLY_FREE
				   assert(old == C(MOVING, me, v))
#endif
#if !EARLY_FREE
				/* the caller was killed */
				:: NIC_CAS(claim[a], C(MOVING, me, v), 0, old);
				   assert(old == C(MOVING, me, v));
				   d_step { UNCHANGED() }
#endif
				fi
			:: else -> NIC_CAS(claim[a], C(MOVING, me, v), 0, old)
			fi
		:: else -> MUST(0)
		fi
#endif
	   :: else
	   fi;
	   d_step { a = 0; n = 0; v = 0; w = 0; old = 0; expect = 0; d0 = 0; d1 = 0; won = 0 }

#if !ONE_WORD
	/* Drop: the word says whether there is anything to drop. */
	:: ops < OPS -> ops++;
	   get_exclusive();
	   if
	   :: v ->
#if DROP_BLIND
		won = 1;
#else
		w = word[a];
		won = (w == W(LIVE, n, v));
#endif
		MUST(won);
		if
		:: won ->
			do
			:: atomic { nic == 0 -> nic = 1; old = claim[a] };
			   d_step {
				if
				:: old == expect -> claim[a] = C(FREED, 0, v);
					dropped[a] = dropped[a] | BIT(v);
					if
					:: WELL -> spent[a] = spent[a] | BIT(v)
					:: else
					fi;
					GAVE_UP()
				:: else
				fi;
				nic = 0
			   };
			   if
			   :: old == expect -> break
			   :: old != expect && VERSION(old) < v -> expect = old
			   :: old != expect && VERSION(old) >= v -> MUST(0); break
			   fi
			od;
			skip
		:: else
		fi
	   :: else
	   fi;
	   d_step { a = 0; n = 0; v = 0; w = 0; old = 0; expect = 0; won = 0 }
#endif
	od
}

/* When nothing moves any more, no line is lost. */
active proctype Monitor()
{
	byte i;

	timeout -> atomic {
		for (i : 0 .. LINES - 1) {
			assert(!writing[i]);
			assert(STATE(word[i]) != EXCL);
			assert((STATE(word[i]) == CONT) == (i == 1 && SIZE(word[0]) == 2));
#if !ONE_WORD
			/* a claim is that of this version, or older */
			assert(STATE(claim[i]) != MOVING);
			assert(VERSION(claim[i]) <= VERSION(word[i]));
			assert(!(STATE(word[i]) == LIVE &&
				 ((spent[i] | dropped[i]) & BIT(VERSION(word[i])))) ||
			       claim[i] == C(FREED, 0, VERSION(word[i])));
#endif
			skip
		}
	}
}

init
{
	byte i;

	atomic {
		for (i : 0 .. LINES - 1) {
			word[i] = W(FREE, 1, 0)
		}
		for (i : 1 .. NHOME) {
			run Home()
		}
		i = 0;
		do
		:: i < NREM -> i++; run Node(i, 0)
		:: else -> break
		od;
		if
		:: PROG == 2 -> run Node(3, 1)
		:: else
		fi;
		i = 0
	}
}
