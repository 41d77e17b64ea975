/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page of two lines at its home and its copy on another node, where threads
 * borrow, fetch, fault and evict.  The home's own steps are those of ledger.pml,
 * taken as one where nobody else can see between them.
 *
 * Bounds:
 *	MAXV	largest version of a line	THREADS	of the node
 *	BORROWS	of each thread			EVICT	evictions
 * Programs:
 *	PROG	0 well-behaved	1 every thread uses any handle that ever existed
 *		2 thread 0 is well-behaved, the others are not
 *		3 as 2, and the others invent handles, too
 */
#ifndef MAXV
#define MAXV 2
#endif
#ifndef THREADS
#define THREADS 2
#endif
#ifndef BORROWS
#define BORROWS 1
#endif
#ifndef EVICT
#define EVICT 1
#endif
#ifndef PROG
#define PROG 2
#endif

#define FREE	0
#define LIVE	1
#define EXCL	2
#define CONT	3
#define W(s, n, v)	((s) * 32 + (n) * 8 + (v))
#define STATE(w)	((w) / 32)
#define SIZE(w)		(((w) / 8) % 4)
#define VERSION(w)	((w) % 8)
#define STAMP(a, v)	(16 + (a) * 8 + (v))
#define BIT(v)		(1 << (v))

/* The home; issued1 and issued2: versions published with 1 and 2 lines. */
byte word[2], bytes[2], issued1[2], issued2[2];
/* Open shared borrows of well-behaved threads. */
byte shared[2];

/* The copy: what is mapped, and what the kernel knows of it. */
bit present, ever;
byte size, copy_word[2], copy_bytes[2];
#define GARBAGE	255

/* In-flight bits, one a line. */
byte flight;
#define MASK(a, n)	((n) == 2 -> 3 : BIT(a))
#define TAKE(m)		atomic { !(flight & (m)) -> flight = flight | (m) }
#define GIVE(m)		flight = flight & ~(m)

inline write_and_publish()
{
	bytes[a] = STAMP(a, v);
	if
	:: n == 2 -> bytes[1] = STAMP(a, v)
	:: else
	fi;
	d_step {
		word[a] = W(LIVE, n, v);
		if
		:: n == 1 -> issued1[a] = issued1[a] | BIT(v)
		:: else -> issued2[a] = issued2[a] | BIT(v)
		fi;
		n = 0; v = 0
	}
}

proctype Owner(byte a)
{
	byte n, v;

	do
	:: break
	/* Allocate, or borrow exclusively. */
	:: atomic {
		VERSION(word[a]) < MAXV &&
		(STATE(word[a]) == FREE || STATE(word[a]) == LIVE && !shared[a]) ->
		n = SIZE(word[a]);
		v = VERSION(word[a]) + 1;
		word[a] = W(EXCL, n, v - 1)
	   };
	   write_and_publish()
	/* Drop. */
	:: d_step {
		STATE(word[a]) == LIVE && !shared[a] ->
		word[a] = W(FREE, SIZE(word[a]), VERSION(word[a]))
	   }
	/* Carve the free page anew. */
	:: d_step {
		a == 0 && word[0] / 8 == W(FREE, 1, 0) / 8 && word[1] / 8 == W(FREE, 1, 0) / 8 ->
		word[0] = W(FREE, 2, VERSION(word[0]));
		word[1] = W(CONT, 0, VERSION(word[1]))
	   }
	:: d_step {
		a == 0 && word[0] / 8 == W(FREE, 2, 0) / 8 ->
		word[0] = W(FREE, 1, VERSION(word[0]));
		word[1] = W(FREE, 1, VERSION(word[1]))
	   }
	od
}

proctype Evictor()
{
	byte i;

	do
	:: i < EVICT && present -> i++;
#if !EVICT_UNLOCKED
		TAKE(3);
#endif
		if
		:: present ->
			copy_word[0] = 0;
			copy_word[1] = 0;
			d_step { present = 0; copy_bytes[0] = GARBAGE; copy_bytes[1] = GARBAGE }
		:: else
		fi;
#if !EVICT_UNLOCKED
		GIVE(3)
#endif
	:: break
	od
}

/* READ of the object's lines, or of the whole page; packets in any order. */
inline read_lines(all)
{
	if
	:: !(all) && n == 1 && a == 0 -> d0 = bytes[0]
	:: !(all) && n == 1 && a == 1 -> d1 = bytes[1]
	:: (all) || n == 2 -> d0 = bytes[0]; d1 = bytes[1]
	:: (all) || n == 2 -> d1 = bytes[1]; d0 = bytes[0]
	fi
}

inline map_page()
{
	d_step {
		copy_bytes[0] = d0;
		copy_bytes[1] = d1;
		present = 1;
		ever = 1;
		d0 = 0; d1 = 0
	}
}

/* Words of its lines first, and with another size all words. */
#if KEEP_WORDS
#define OTHER_SIZE	0
#else
#define OTHER_SIZE	(size != n)
#endif

/* Under the bits that the object needs: its word, bytes, word; then install. */
inline fetch()
{
	w = word[a];
	first = (w == W(LIVE, n, v));
	whole = (ever && !present);
#if REFILL_PART
	whole = 0;
#endif
	read_lines(whole);
	w = word[a];
#if EARLY_BITS
	GIVE(mask);
#endif
	if
#if WORD_AFTER
	:: w == W(LIVE, n, v) ->
#else
	:: first && w == W(LIVE, n, v) ->
#endif
		if
		:: whole -> map_page()
		:: else ->
#if !NO_ZERO
			if
			:: n == 2 || a == 0 || OTHER_SIZE -> copy_word[0] = 0
			:: else
			fi;
			if
			:: n == 2 || a == 1 || OTHER_SIZE -> copy_word[1] = 0
			:: else
			fi;
#endif
			if
			:: n == 2 || a == 0 -> copy_bytes[0] = d0
			:: else
			fi;
			if
			:: n == 2 || a == 1 -> copy_bytes[1] = d1
			:: else
			fi;
			d_step { present = 1; ever = 1 }
		fi;
		d_step { size = n; copy_word[a] = W(LIVE, n, v) }
	:: else -> v = 0
	fi;
	d_step { w = 0; d0 = 0; d1 = 0; first = 0; whole = 0 }
}

/* A load by the program; a fault fetches the page if it was evicted. */
inline load(i, into)
{
	do
	:: atomic { present -> into = copy_bytes[i]; break }
	:: !present -> TAKE(3);
		if
		:: !present -> read_lines(1); map_page()
		:: else
		fi;
		GIVE(3)
	od
}

proctype Thread(bit well; bit forge)
{
	byte a, n, v, w, d0, d1, r0, r1, i, mask;
	bit first, whole, exact;

	do
	:: i < BORROWS -> i++;
		atomic {
			if
			:: a = 0
			:: a = 1
			fi;
			if
			:: well && STATE(word[a]) == LIVE ->
				shared[a]++;
				n = SIZE(word[a]);
				v = VERSION(word[a])
			:: else ->
				if
				:: !well ->
					v = 1;
					do
					:: v < MAXV -> v++
					:: break
					od;
					if
					:: issued1[a] & BIT(v) -> n = 1
					:: issued2[a] & BIT(v) -> n = 2
					:: forge -> n = 1
					:: forge && a == 0 -> n = 2
					:: else -> v = 0
					fi
				:: else
				fi
			fi
		};
		if
		:: !v -> goto next
		:: copy_word[a] == W(LIVE, n, v) -> goto hit
		:: else
		fi;
		/* Miss. */
		mask = MASK(a, n);
take:		TAKE(mask);
		if
		:: copy_word[a] == W(LIVE, n, v) -> GIVE(mask); goto hit
		:: else
		fi;
#if REFILL_PART
		if
		:: mask != 3 && present && size != n
#else
		if
		:: mask != 3 && (!present && ever || size && size != n)
#endif
			-> GIVE(mask); mask = 3; goto take
		:: else
		fi;
		fetch();
#if !EARLY_BITS
		GIVE(mask);
#endif
		if
		:: !v -> assert(!well); goto next
		:: else
		fi;
hit:		if
		:: n == 2 || a == 0 -> load(0, r0)
		:: else
		fi;
		if
		:: n == 2 || a == 1 -> load(1, r1)
		:: else
		fi;
		/* The end of the borrow checks again. */
		atomic {
			exact = (a == 1 || r0 == STAMP(a, v)) &&
				(n == 1 && a == 0 || r1 == STAMP(a, v));
			if
			:: well -> assert(exact);
				assert(!copy_word[a] || copy_word[a] == W(LIVE, n, v));
				shared[a]--
			:: !well && copy_word[a] == W(LIVE, n, v) -> assert(exact)
			:: else
			fi;
			exact = 0
		};
next:		atomic { a = 0; n = 0; v = 0; w = 0; r0 = 0; r1 = 0; mask = 0 }
	:: break
	od
}

init
{
	byte i;

	atomic {
		word[0] = W(FREE, 1, 0);
		word[1] = W(FREE, 1, 0);
		copy_bytes[0] = GARBAGE;
		copy_bytes[1] = GARBAGE;
		run Owner(0);
		run Owner(1);
		do
		:: i < THREADS ->
			run Thread(PROG == 0 || PROG >= 2 && i == 0, PROG == 3 && i > 0);
			i++
		:: else -> break
		od;
		run Evictor();
		i = 0
	}
}
