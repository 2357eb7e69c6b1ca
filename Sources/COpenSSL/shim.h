#ifndef SIDEREAL_COPENSSL_SHIM_H
#define SIDEREAL_COPENSSL_SHIM_H
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// What OpenSSL offers only as macros, which Swift cannot see.

static inline int sidereal_SSL_CTX_set_min_proto_version(SSL_CTX *context, int version)
{
    return SSL_CTX_set_min_proto_version(context, version);
}

static inline long sidereal_SSL_CTX_set_mode(SSL_CTX *context, long mode)
{
    return SSL_CTX_set_mode(context, mode);
}

// `BIO_pending` without the conversion to int: never negative for a memory BIO.
static inline size_t sidereal_BIO_pending(BIO *bio)
{
    return BIO_ctrl_pending(bio);
}

// An empty memory BIO means "more may come" rather than the end.
static inline long sidereal_BIO_set_mem_eof_return(BIO *bio, int value)
{
    return BIO_set_mem_eof_return(bio, value);
}
#endif
