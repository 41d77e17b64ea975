// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <dsm.h>

enum { TURNS = 4, WAIT_MS = 30000 };

struct ball {
	int hits;
};

DSM_BOX_TYPE(struct ball);
typedef DSM_BOX(struct ball) ball_box;

/* Give the ball away, under a name that says whose turn it is. */
static int pass(struct dsm *dsm, int turn, const ball_box *box)
	DSM_EXCLUDES(&box->ref)
{
	char name[32];

	snprintf(name, sizeof(name), "turn %d", turn);
	return dsm_publish(dsm, name, &box->ref);
}

static int play(struct dsm *dsm, int turn)
{
	struct ball *ball;
	char name[32];
	ball_box box;

	snprintf(name, sizeof(name), "turn %d", turn);
	if (dsm_take(dsm, name, WAIT_MS, &box.ref)) /* now it is ours */
		return -1;
	ball = dsm_box_borrow_mut(dsm, &box, 0); /* and now it is here */
	if (!ball)
		return -1;
	ball->hits++;
	printf("hit %d, on node %d\n", ball->hits, dsm_home(dsm, ball));
	if (dsm_box_return_mut(dsm, &box))
		return -1;
	return turn < TURNS ? pass(dsm, turn + 1, &box)
			    : dsm_box_drop(dsm, &box);
}

int main(void)
{
	struct dsm *dsm = dsm_attach("example", O_RDWR | O_CREAT, 0600);
	ball_box box;

	if (!dsm)
		return perror("dsm_attach"), 1;
	if (dsm_node(dsm) == 1 && /* who plays first brings the ball */
	    (dsm_alloc_on(dsm, 1, sizeof(struct ball), &box.ref) ||
	     pass(dsm, 1, &box)))
		return perror("the ball"), 1;
	for (int turn = (int)dsm_node(dsm); turn <= TURNS; turn += 2)
		if (play(dsm, turn))
			return perror("play"), 1;
	return dsm_detach(dsm), 0;
}
