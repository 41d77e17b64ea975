// SPDX-License-Identifier: GPL-2.0-only
/* HMAC-SHA-256 as in RFC 2104 and FIPS 180-4: no library for so little. */
#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "hmac.h"

#define BLOCK_BYTES 64

struct sha256 {
	uint32_t h[8];
	unsigned char block[BLOCK_BYTES];
	uint64_t len;
};

static const uint32_t rounds_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned int n)
{
	return x >> n | x << (32 - n);
}

static void sha256_block(struct sha256 *s)
{
	uint32_t w[64], v[8];

	for (unsigned int i = 0; i < 16; i++) {
		memcpy(&w[i], s->block + 4 * i, 4);
		w[i] = be32toh(w[i]);
	}
	for (unsigned int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^
			w[i - 15] >> 3) +
		       (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^
			w[i - 2] >> 10);
	memcpy(v, s->h, sizeof(v));
	for (unsigned int i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + rounds_k[i] + w[i] +
			      (rotate(v[4], 6) ^ rotate(v[4], 11) ^
			       rotate(v[4], 25)) +
			      ((v[4] & v[5]) ^ (~v[4] & v[6]));
		uint32_t t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^
			       rotate(v[0], 22)) +
			      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (unsigned int i = 0; i < 8; i++)
		s->h[i] += v[i];
}

static void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--) {
		s->block[s->len++ % BLOCK_BYTES] = *p++;
		if (!(s->len % BLOCK_BYTES))
			sha256_block(s);
	}
}

static void sha256_begin(struct sha256 *s)
{
	static const uint32_t first[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(s->h, first, sizeof(first));
	s->len = 0;
}

static void sha256_end(struct sha256 *s, unsigned char out[HMAC_BYTES])
{
	uint64_t bits = htobe64(s->len * 8);

	sha256_add(s, "\x80", 1);
	while (s->len % BLOCK_BYTES != BLOCK_BYTES - sizeof(bits))
		sha256_add(s, "", 1);
	sha256_add(s, &bits, sizeof(bits));
	for (unsigned int i = 0; i < 8; i++) {
		uint32_t word = htobe32(s->h[i]);

		memcpy(out + 4 * i, &word, 4);
	}
}

void hmac(const unsigned char key[HMAC_BYTES], const void *text, size_t len,
	  unsigned char out[HMAC_BYTES])
{
	unsigned char inner[BLOCK_BYTES], outer[BLOCK_BYTES];
	struct sha256 s;

	for (unsigned int i = 0; i < BLOCK_BYTES; i++) {
		unsigned char byte = i < HMAC_BYTES ? key[i] : 0;

		inner[i] = byte ^ 0x36;
		outer[i] = byte ^ 0x5c;
	}
	sha256_begin(&s);
	sha256_add(&s, inner, sizeof(inner));
	sha256_add(&s, text, len);
	sha256_end(&s, out);
	sha256_begin(&s);
	sha256_add(&s, outer, sizeof(outer));
	sha256_add(&s, out, HMAC_BYTES);
	sha256_end(&s, out);
}
