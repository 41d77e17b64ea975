/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_AUTH_H
#define DSM_AUTH_H

#include "wire.h"

struct crypto_shash;

/* Who proves what: each role has a label of its own, so no proof can be sent back. */
enum dsm_auth_role {
	DSM_AUTH_ACTIVE = 1,
	DSM_AUTH_PASSIVE,
	DSM_AUTH_DATA,
	DSM_AUTH_DATA_PASSIVE,
};

/**
 * struct dsm_auth - what both sides of a session know after the first exchange
 * @active: node that connected
 * @passive: node that accepted
 * @active_epoch: as the active side gave it
 * @passive_epoch: as the passive side gave it
 * @active_nonce: random, of this session alone
 * @passive_nonce: the same of the other side
 */
struct dsm_auth {
	__u8 active;
	__u8 passive;
	__u8 reserved[6];
	__le64 active_epoch;
	__le64 passive_epoch;
	__u8 active_nonce[DSM_WIRE_TOKEN_BYTES];
	__u8 passive_nonce[DSM_WIRE_TOKEN_BYTES];
};

struct crypto_shash *dsm_auth_alloc(const u8 *key, unsigned int len);
void dsm_auth_free(struct crypto_shash *tfm);
int dsm_auth_prove(struct crypto_shash *tfm, const struct dsm_auth *auth,
		   enum dsm_auth_role role, unsigned int conn, u8 *proof);
int dsm_auth_check(struct crypto_shash *tfm, const struct dsm_auth *auth,
		   enum dsm_auth_role role, unsigned int conn, const u8 *proof);

#endif /* DSM_AUTH_H */
