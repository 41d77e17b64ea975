/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One line at its home and a mover that loses its link, or dies, or is thought
 * dead: re-issue on the new link, fence, drain, sweep.  A second node and the
 * home use any handle meanwhile.  The words are those of ledger.pml; a NIC's CAS
 * is one step here: claims change by nothing else, so nobody sees its two.
 *
 * Bounds:
 *	MAXV		largest version		ATTEMPTS	of the mover
 *	LOSSES		of its link		FORGE		1: future handles, too
 *	RIVAL		1: another node moves, too
 */
#ifndef MAXV
#define MAXV 3
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef RIVAL
#define RIVAL 0
#endif
#ifndef FORGE
#define FORGE 0
#endif

#define FREE	0
#define LIVE	1
#define EXCL	2
#define W(s, v)		((s) * 8 + (v))
#define STATE(w)	((w) / 8)
#define VERSION(w)	((w) % 8)

#define MOVING	1
#define FREED	2
#define C(s, node, v)	((s) * 32 + (node) * 8 + (v))
#define CSTATE(c)	((c) / 32)
#define CNODE(c)	(((c) / 8) % 4)
#define CVERSION(c)	((c) % 8)

#define MOVER	1
#define OTHER	2

byte word = W(LIVE, 1), claim, bytes = 17;
#define STAMP(v)	(16 + (v))

/* The home's queue pairs for the mover, one after the other, and a request that
 * each may still execute though its sender has given the link up. */
#define QPS	(LOSSES + 1)
byte qp;
bit open[QPS], lost[QPS], late[QPS];
byte late_expect[QPS], late_new[QPS];
bit dead, fenced, swept;

/* Versions that were published, that found an exclusive owner, that the sweep freed. */
byte issued = 2, spent, freed;
#define BIT(v)	(1 << (v))

inline owned(v)
{
	assert(!(spent & BIT(v)));
	spent = spent | BIT(v)
}

inline any_version()
{
	v = 1;
	do
	:: v < MAXV -> v++
	:: break
	od;
	if
	:: !(issued & BIT(v)) -> v = 1
	:: else
	fi
}

proctype Home()
{
	byte v, w, x;
	bit ok;

	do
	:: break

	/* Borrow exclusively, or drop. */
	:: atomic { any_version() };
	   d_step {
		ok = (word == W(LIVE, v) && v < MAXV);
		if
		:: ok -> word = W(EXCL, v)
		:: else
		fi
	   };
	   if
	   :: ok -> x = claim;
		if
		:: x && CVERSION(x) == v -> word = W(LIVE, v)
		:: else -> atomic { owned(v) };
			if
			:: bytes = STAMP(v + 1);
			   d_step { word = W(LIVE, v + 1); issued = issued | BIT(v + 1) }
			:: word = W(FREE, v)
			fi
		fi
	   :: else
	   fi;
	   d_step { v = 0; x = 0; ok = 0 }

	/* Allocate. */
	:: atomic {
		STATE(word) == FREE && VERSION(word) < MAXV ->
		v = VERSION(word) + 1;
		word = W(EXCL, v - 1)
	   };
	   bytes = STAMP(v);
	   d_step { word = W(LIVE, v); issued = issued | BIT(v); v = 0 }

	/* Reclaim. */
	:: atomic { CSTATE(claim) == FREED -> x = claim };
	   w = word;
	   if
	   :: w == W(LIVE, CVERSION(x)) ->
		d_step {
			ok = (word == w);
			if
			:: ok -> word = W(EXCL, VERSION(w));
				assert((spent | freed) & BIT(VERSION(w)))
			:: else
			fi
		};
		if
		:: ok ->
			d_step {
				if
				:: claim == x -> claim = 0
				:: else
				fi
			};
			word = W(FREE, VERSION(w))
		:: else
		fi
	   :: else
	   fi;
	   d_step { v = 0; w = 0; x = 0; ok = 0 }
	od
}

/* A node without troubles. */
proctype Other()
{
	byte v, w, old, expect, d;

	atomic { any_version() };
	do
	:: d_step {
		old = claim;
		if
		:: old == expect -> claim = C(MOVING, OTHER, v)
		:: else
		fi
	   };
	   w = word;
	   if
	   :: old == expect -> break
	   :: old != expect && old == 0 -> expect = 0
	   :: old != expect && old && CVERSION(old) < v && w == W(LIVE, v) -> expect = old
	   :: old != expect && old && !(CVERSION(old) < v && w == W(LIVE, v)) -> goto done
	   fi
	od;
	w = word;
	d = bytes;
	if
	:: w == W(LIVE, v) -> d_step { owned(v); assert(d == STAMP(v)) };
		old = C(FREED, 0, v)
	:: else -> old = 0
	fi;
	d_step {
		if
		:: claim == C(MOVING, OTHER, v) -> claim = old
		:: else -> assert(!old)
		fi
	};
done:	skip
}

/* A request of the mover: it is executed and answered; or executed, and the link
 * is lost; or the link is lost while it is on its way: it may be executed as
 * long as the home has that queue pair open. */
inline cas(from, to)
{
	atomic {
		if
		:: open[qp] && !lost[qp] ->
			failed = 0;
			if
			:: old = claim;
			   if
			   :: old == (from) -> claim = (to)
			   :: else
			   fi;
			   if
			   :: skip
			   :: losses < LOSSES -> losses++; lost[qp] = 1; failed = 1
			   fi
			:: losses < LOSSES -> losses++; lost[qp] = 1; failed = 1;
			   late[qp] = 1; late_expect[qp] = (from); late_new[qp] = (to)
			fi
		:: else -> failed = 1
		fi
	}
}

inline read(what, into)
{
	atomic {
		if
		:: open[qp] && !lost[qp] -> into = what; failed = 0;
			if
			:: skip
			:: losses < LOSSES -> losses++; lost[qp] = 1; failed = 1
			fi
		:: else -> failed = 1
		fi
	}
}

inline wait_link()
{
	if
	:: open[qp] && !lost[qp]
	:: fenced -> goto out
	fi
}

proctype Mover()
{
	byte v, w, old, expect, d, n, losses;
	bit failed, reissued, won;

	{
	do
	:: n < ATTEMPTS -> n++;
		atomic {
			any_version();
			if
			:: skip
			:: FORGE -> v = MAXV
			fi
		};
again:		wait_link();
		cas(expect, C(MOVING, MOVER, v));
		if
		:: failed -> reissued = 1; goto again
		:: else
		fi;
		read(word, w);
		if
		:: failed ->
			/* the claim may have been ours */
			reissued = 1; goto again
		:: else
		fi;
		if
		:: old == expect -> skip
#if !FORGET_REISSUE
		:: old != expect && reissued && old == C(MOVING, MOVER, v) -> skip
#endif
		:: else ->
			if
			:: old == 0 -> expect = 0; goto again
			:: old && CVERSION(old) < v && w == W(LIVE, v) -> expect = old; goto again
			:: else -> goto next
			fi
		fi;
		read(bytes, d);
		if
		:: failed -> reissued = 1; goto again
		:: else
		fi;
		if
		:: w == W(LIVE, v) ->
			if
			:: d_step { owned(v); assert(d == STAMP(v)) }; won = 1
			:: skip		/* the caller was killed */
			fi
		:: else
		fi;
		expect = (won -> C(FREED, 0, v) : 0);
finish:		wait_link();
		cas(C(MOVING, MOVER, v), expect);
		d_step { w = 0; d = 0; old = 0 };
		if
		:: failed -> goto finish
		:: else
		fi;
next:		atomic { v = 0; w = 0; old = 0; expect = 0; d = 0; reissued = 0; won = 0 }
	:: break
	od;
out:	atomic { v = 0; w = 0; old = 0; expect = 0; d = 0; n = ATTEMPTS; failed = 0; reissued = 0; won = 0 }
	} unless { dead }
}

/* What is late on a queue pair that the home has not closed. */
#define EXECUTE_LATE(i)							\
	atomic {							\
		late[i] && open[i] -> late[i] = 0;			\
		if							\
		:: claim == late_expect[i] -> claim = late_new[i]	\
		:: else							\
		fi							\
	}

proctype Late()
{
end:	do
	:: EXECUTE_LATE(0)
#if LOSSES > 1
	:: EXECUTE_LATE(1)
#endif
	od
}

/* The home's end of the link, and the administrator. */
proctype Link(bit fence)
{
	byte c;

end:	do
	/* A new link from the same node: first the old one is closed and drained. */
	:: atomic {
		lost[qp] && !fenced ->
#if !RELINK_OPEN
		open[qp] = 0;
		late[qp] = 0;
#endif
		qp++;
		open[qp] = 1
	   }
	/* Fenced, dead or not. */
	:: atomic {
		fence && !fenced -> swept = 0;
#if !SWEEP_UNDRAINED
		fenced = 1;
		open[qp] = 0;
		late[qp] = 0
#endif
	   };
	   c = claim;
	   if
	   :: CSTATE(c) == MOVING && CNODE(c) == MOVER ->
#if SWEEP_LIVE
		c = 0;
#elif SWEEP_BLIND
		c = C(FREED, 0, CVERSION(c));
#else
		c = (VERSION(word) == CVERSION(c) -> C(FREED, 0, CVERSION(c)) : 0);
#endif
		d_step {
			if
			:: CSTATE(claim) == MOVING && CNODE(claim) == MOVER ->
				if
				:: CSTATE(c) == FREED -> freed = freed | BIT(CVERSION(c))
				:: else
				fi;
				claim = c
			:: else
			fi;
			swept = 1
		}
	   :: else -> swept = 1
	   fi;
#if SWEEP_UNDRAINED
	   atomic { fenced = 1; open[qp] = 0; late[qp] = 0 };
#endif
	   break
	od
}

proctype Death()
{
	if
	:: dead = 1
	:: skip
	fi
}

active proctype Monitor()
{
	timeout -> d_step {
		assert(STATE(word) != EXCL);
		/* a claim is left open only by a mover that died and was not swept */
		assert(CSTATE(claim) != MOVING || (dead && !swept));
		assert(CVERSION(claim) <= VERSION(word) || (dead && !swept));
		assert(!(STATE(word) == LIVE && ((spent | freed) & BIT(VERSION(word)))) ||
		       claim == C(FREED, 0, VERSION(word)) ||
		       (dead && !swept && claim == C(MOVING, MOVER, VERSION(word))))
	}
}

init
{
	atomic {
		open[0] = 1;
		run Home();
#if RIVAL
		run Other();
#endif
		run Mover();
		run Late();
		if
		:: run Link(0)
		:: run Link(1)
		fi;
		run Death()
	}
}
