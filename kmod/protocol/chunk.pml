/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A chunk that nothing is in is given back, and used again: the directory entry, the
 * keys, REVOKE, and what a peer has read through them.  The home has one peer, which
 * cannot always be told.  A life of the chunk has a number, which stands for its kind,
 * its keys and all that is ever in it.
 *
 * Bounds:
 *	LIVES		of the chunk		FETCHES		of each of two fetchers
 *	LOSSES		of the link		CALLS		of the home
 */
#ifndef LIVES
#define LIVES 2
#endif
#ifndef FETCHES
#define FETCHES 2
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef CALLS
#define CALLS 2
#endif

/* At the home. */
byte life = 1;			/* of the chunk */
byte dir;			/* what the directory names; 0: none */
bit key[LIVES + 1];		/* can be used for one-sided requests */

/* The link. */
byte session = 1;
bit up = 1;
byte losses;
chan revoke = [2] of { byte, byte };	/* session, number of the call */
byte answered;				/* the last call that was */

/* What the peer knows of the chunk. */
bit lock;
bit valid;
byte serial, named;
byte users;
byte copy;			/* life of the bytes that are cached; 0: none */

active proctype Home()
{
	byte call;
	bit told;

	d_step { key[1] = 1; dir = 1 };
	do
	:: life < LIVES && call < CALLS ->
		call++;
#ifndef LIST_LATE
		dir = 0;
#endif
		told = 0;
		/* If the link is not up, or the peer does not answer, it is not told. */
		if
		:: up -> atomic {
			if
			:: up && nfull(revoke) -> revoke!session, call
			:: else
			fi
		   };
		   if
		   :: answered == call -> told = 1
		   :: skip
		   fi
		:: skip
		fi;
#ifdef LIST_LATE
		dir = 0;
#endif
		if
#ifndef GIVE_ANYWAY
		:: !told -> dir = life
		:: told ->
#else
		:: skip ->
			/* Its queue pairs are closed, so that keys may die. */
			if
			:: !told -> up = 0
			:: else
			fi;
#endif
			key[life] = 0;
			life++;
			key[life] = 1;
			dir = life
		fi
	:: break
	od
}

/* It comes and goes. */
active proctype Link()
{
end:	do
	:: atomic { up && losses < LOSSES -> losses++; up = 0 }
	:: atomic { !up -> session++; up = 1 }
	od
}

/* The peer's handler. */
active proctype Revoked()
{
	byte s, call;

end:	do
	:: revoke?s, call ->
		atomic { !lock -> lock = 1 };
		valid = 0;
		lock = 0;
#ifndef NO_USERS
		users == 0;
#endif
#ifndef KEEP_COPIES
		copy = 0;
#endif
		atomic {
			if
			:: up && session == s -> answered = call
			:: else
			fi
		};
		s = 0; call = 0
	od
}

/*
 * Somebody who follows a pointer into what is here now.  He takes a page that is cached
 * as it is: nothing in it says which life's it is.
 */
active [2] proctype Fetcher()
{
	byte s, x, want, n;

	do
	:: n < FETCHES ->
		n++;
		/* The pointer was given out while the directory named the life. */
		atomic { dir -> want = dir };
		if
		:: atomic { copy ->
			/* By now that may be old: then anything old will do. */
			assert(copy == want || want != life) };
			goto next
		:: atomic { !copy && !lock && up -> lock = 1; s = session }
		fi;
		if
		:: valid && serial == s
		:: else ->
			x = dir;
			atomic {
				if
				:: up && session == s ->
					valid = (x != 0); named = x; serial = s
				:: else -> valid = 0
				fi
			}
		fi;
		if
		:: !valid -> lock = 0; goto next
		:: else
		fi;
		atomic { x = named; users++; lock = 0 };
		/* The READ is carried out at the home, or flushed. */
		atomic {
			if
			:: up && session == s ->
				assert(key[x]);
				copy = x
			:: else
			fi
		};
		atomic { users--; }
next:		s = 0; x = 0; want = 0
	:: break
	od
}
