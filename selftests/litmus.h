/* SPDX-License-Identifier: GPL-2.0-only */
/* The programs of litmus.c, and what sequential consistency forbids them. */
#ifndef LITMUS_H
#define LITMUS_H

#include <stdbool.h>

enum { ACTORS = 4, VARS = 2, OPS = 3, X = 0, Y = 1 };

struct op {
	enum { NONE, READ, WRITE } kind;
	unsigned int var;
	unsigned int value;
};

/* What a round gave; a value is 0 if it is from an earlier round. */
struct outcome {
	unsigned int r[ACTORS][OPS];
	unsigned int end[VARS]; /* only if the program has more than one writer */
};

struct program {
	const char *name;
	struct op op[ACTORS][OPS];
	bool writers; /* a variable has more than one */
	bool (*forbidden)(const struct outcome *o);
};

#define W(v, n)             \
	{                   \
		WRITE, v, n \
	}
#define R(v)               \
	{                  \
		READ, v, 0 \
	}

static bool mp_forbidden(const struct outcome *o)
{
	return o->r[1][0] == 1 && o->r[1][1] == 0;
}

static bool sb_forbidden(const struct outcome *o)
{
	return o->r[0][1] == 0 && o->r[1][1] == 0;
}

static bool lb_forbidden(const struct outcome *o)
{
	return o->r[0][0] == 1 && o->r[1][0] == 1;
}

static bool wrc_forbidden(const struct outcome *o)
{
	return o->r[1][0] == 1 && o->r[2][0] == 1 && o->r[2][1] == 0;
}

static bool iriw_forbidden(const struct outcome *o)
{
	return o->r[2][0] == 1 && o->r[2][1] == 0 && o->r[3][0] == 1 &&
	       o->r[3][1] == 0;
}

static bool corr_forbidden(const struct outcome *o)
{
	unsigned int first = o->r[2][0], then = o->r[2][1];

	return first != then && (then == 0 || first == o->end[X]);
}

static bool cowr_forbidden(const struct outcome *o)
{
	return o->r[0][1] == 0 || (o->r[0][1] == 2 && o->end[X] == 1);
}

static bool two_writes_forbidden(const struct outcome *o)
{
	return o->end[X] == 1 && o->end[Y] == 1;
}

static const struct program mp = {
	"MP",
	{ { W(X, 1), W(Y, 1) }, { R(Y), R(X) } },
	false,
	mp_forbidden,
};
static const struct program sb = {
	"SB",
	{ { W(X, 1), R(Y) }, { W(Y, 1), R(X) } },
	false,
	sb_forbidden,
};
static const struct program lb = {
	"LB",
	{ { R(X), W(Y, 1) }, { R(Y), W(X, 1) } },
	false,
	lb_forbidden,
};
static const struct program wrc = {
	"WRC",
	{ { W(X, 1) }, { R(X), W(Y, 1) }, { R(Y), R(X) } },
	false,
	wrc_forbidden,
};
static const struct program iriw = {
	"IRIW",
	{ { W(X, 1) }, { W(Y, 1) }, { R(X), R(Y) }, { R(Y), R(X) } },
	false,
	iriw_forbidden,
};
static const struct program corr = {
	"CoRR",
	{ { W(X, 1) }, { W(X, 2) }, { R(X), R(X) } },
	true,
	corr_forbidden,
};
static const struct program cowr = {
	"CoWR",
	{ { W(X, 1), R(X) }, { W(X, 2) } },
	true,
	cowr_forbidden,
};
static const struct program two_writes = {
	"2+2W",
	{ { W(X, 1), W(Y, 2) }, { W(Y, 1), W(X, 2) } },
	true,
	two_writes_forbidden,
};

#endif /* LITMUS_H */
