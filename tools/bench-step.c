// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsm-bench: instructions of the calls that make no system call.  A child makes them
 * and is single-stepped from the first instruction of a call to its return.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#ifdef __x86_64__

enum { CALL_BORROW, CALL_RETURN, CALL_BORROW_MUT, CALL_RETURN_MUT, NR_CALLS };

static void call_all(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref) || dsm_return(dsm, ref) ||
	    !dsm_borrow_mut(dsm, ref, 0) || dsm_return_mut(dsm, ref))
		die("cannot borrow: %s", strerror(errno));
}

/* A process attaches for itself, also a forked one. */
__attribute__((noreturn)) static void be_stepped(void)
{
	struct bench b;
	struct dsm_ref ref;

	attach(&b);
	if (!dsm_alloc(b.dsm, DSM_LINE_SIZE, &ref) ||
	    dsm_return_mut(b.dsm, &ref))
		die("cannot allocate: %s", strerror(errno));
	/* The first time the linker and page faults have their part in it. */
	call_all(b.dsm, &ref);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		die("cannot be traced: %s", strerror(errno));
	raise(SIGSTOP);
	call_all(b.dsm, &ref);
	dsm_drop(b.dsm, &ref);
	dsm_detach(b.dsm);
	_exit(EXIT_SUCCESS);
}

static struct user_regs_struct step(pid_t pid)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) ||
	    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		die("cannot step a child");
	return regs;
}

/* Instructions until the function that was just entered has returned. */
static unsigned int step_out(pid_t pid, uint64_t stack)
{
	unsigned int n = 0;

	/* Its return takes its address from the stack. */
	do
		n++;
	while (step(pid).rsp <= stack);
	return n;
}

void step_count(void)
{
	const uintptr_t entry[NR_CALLS] = {
		[CALL_BORROW] = (uintptr_t)dsm_borrow,
		[CALL_RETURN] = (uintptr_t)dsm_return,
		[CALL_BORROW_MUT] = (uintptr_t)dsm_borrow_mut,
		[CALL_RETURN_MUT] = (uintptr_t)dsm_return_mut,
	};
	unsigned int count[NR_CALLS];
	unsigned int i;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		be_stepped();
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die("cannot start a child to step");
	for (i = 0; i < NR_CALLS; i++) {
		struct user_regs_struct regs;

		do
			regs = step(pid);
		while (regs.rip != entry[i]);
		count[i] = step_out(pid, regs.rsp);
	}
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	waitpid(pid, &status, 0);
	report("instructions of a borrow that hits", count[CALL_BORROW],
	       "at most 15", "and of its return: %u", count[CALL_RETURN]);
	report("instructions of a local exclusive borrow, return",
	       count[CALL_BORROW_MUT] + count[CALL_RETURN_MUT], "at most 60",
	       "%u and %u", count[CALL_BORROW_MUT], count[CALL_RETURN_MUT]);
}

#else

void step_count(void)
{
}

#endif
