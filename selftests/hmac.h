/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HMAC_H
#define HMAC_H

#include <stddef.h>

#define HMAC_BYTES 32

/* HMAC-SHA-256 with a key of HMAC_BYTES. */
void hmac(const unsigned char key[HMAC_BYTES], const void *text, size_t len,
	  unsigned char out[HMAC_BYTES]);

#endif /* HMAC_H */
