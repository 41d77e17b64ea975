/* SPDX-License-Identifier: GPL-2.0-only */
/* kselftest's harness, with a time limit for emulated machines under KASAN. */
#ifndef HARNESS_H
#define HARNESS_H

#include "helper.h"
#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

#endif /* HARNESS_H */
