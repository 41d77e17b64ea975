/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kselftest's harness, with a time limit for emulated machines under KASAN, and a main()
 * that is the agent of a guest that has no tests.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include "helper.h"
#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

#undef TEST_HARNESS_MAIN
#define TEST_HARNESS_MAIN                                                  \
	static void __attribute__((constructor))                           \
	__constructor_order_last(void)                                     \
	{                                                                  \
		if (!__constructor_order)                                  \
			__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD; \
	}                                                                  \
	int main(int argc, char **argv)                                    \
	{                                                                  \
		int status = agent_main();                                 \
                                                                           \
		return status < 0 ? test_harness_run(argc, argv) : status; \
	}

#endif /* HARNESS_H */
