// SPDX-License-Identifier: GPL-2.0-only
/* Proof of the cluster key: HMAC-SHA-256 over both sides' nonces. */
#include <crypto/hash.h>
#include <crypto/algapi.h>
#include "auth.h"

/**
 * dsm_auth_alloc() - set up the keyed hash of a cluster
 * @key: the cluster key
 * @len: bytes of it
 *
 * Context: process, may sleep.
 * Return: the transform or an ERR_PTR.
 */
struct crypto_shash *dsm_auth_alloc(const u8 *key, unsigned int len)
{
	struct crypto_shash *tfm = crypto_alloc_shash("hmac(sha256)", 0, 0);
	int err;

	if (IS_ERR(tfm))
		return tfm;
	err = crypto_shash_setkey(tfm, key, len);
	if (err) {
		crypto_free_shash(tfm);
		return ERR_PTR(err);
	}
	return tfm;
}

void dsm_auth_free(struct crypto_shash *tfm)
{
	crypto_free_shash(tfm);
}

/**
 * dsm_auth_prove() - make a proof
 * @tfm: of dsm_auth_alloc()
 * @auth: the session
 * @role: who proves
 * @conn: connection index that it is bound to
 * @proof: out, DSM_WIRE_TOKEN_BYTES
 *
 * Return: 0 or a negative errno of the crypto layer.
 */
int dsm_auth_prove(struct crypto_shash *tfm, const struct dsm_auth *auth,
		   enum dsm_auth_role role, unsigned int conn, u8 *proof)
{
	struct {
		char label[8];
		__le32 role;
		__le32 conn;
		struct dsm_auth auth;
	} text = {
		.label = "dsm-auth",
		.role = cpu_to_le32(role),
		.conn = cpu_to_le32(conn),
		.auth = *auth,
	};

	static_assert(sizeof(text) == 16 + sizeof(struct dsm_auth));
	return crypto_shash_tfm_digest(tfm, (const u8 *)&text, sizeof(text), proof);
}

/**
 * dsm_auth_check() - check a peer's proof
 * @tfm: of dsm_auth_alloc()
 * @auth: the session
 * @role: who claims to have proved
 * @conn: connection index
 * @proof: what came, DSM_WIRE_TOKEN_BYTES
 *
 * Return: 0, -EKEYREJECTED, or a negative errno of the crypto layer.
 */
int dsm_auth_check(struct crypto_shash *tfm, const struct dsm_auth *auth,
		   enum dsm_auth_role role, unsigned int conn, const u8 *proof)
{
	u8 want[DSM_WIRE_TOKEN_BYTES];
	int err;

	err = dsm_auth_prove(tfm, auth, role, conn, want);
	if (!err && crypto_memneq(want, proof, sizeof(want)))
		err = -EKEYREJECTED;
	memzero_explicit(want, sizeof(want));
	return err;
}
