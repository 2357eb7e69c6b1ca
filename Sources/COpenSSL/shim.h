#ifndef SIDEREAL_COPENSSL_SHIM_H
#define SIDEREAL_COPENSSL_SHIM_H
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// What OpenSSL offers only as macros, which Swift cannot see.

static inline int sidereal_SSL_CTX_set_min_proto_version(SSL_CTX *context, int version)
{
    return SSL_CTX_set_min_proto_version(context, version);
}

// No renegotiation, compression or resumption: each handshake is a full one that checks the peer anew.
static inline void sidereal_SSL_CTX_restrict_server(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    // Idle connections give their record buffers of about 34 kB back.
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

// A client resumes no session either: that would skip the check of a certificate which may have expired since.
static inline void sidereal_SSL_CTX_restrict_client(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

static inline int sidereal_SSL_CTX_add1_chain_cert(SSL_CTX *context, X509 *certificate)
{
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

static inline int sidereal_SSL_set_server_name(SSL *connection, const char *name)
{
    return (int)SSL_set_tlsext_host_name(connection, name);
}

// Without a callback OpenSSL would ask for the passphrase of an encrypted key on the terminal.
static inline int sidereal_no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static inline EVP_PKEY *sidereal_read_private_key(BIO *pem)
{
    return PEM_read_bio_PrivateKey(pem, NULL, sidereal_no_passphrase, NULL);
}

static inline X509_CRL *sidereal_read_revocation_list(BIO *pem)
{
    return PEM_read_bio_X509_CRL(pem, NULL, sidereal_no_passphrase, NULL);
}

static inline X509 *sidereal_read_certificate(BIO *pem)
{
    return PEM_read_bio_X509(pem, NULL, sidereal_no_passphrase, NULL);
}

// Alternative names of a certificate: NULL if there are none or the extension is there twice.
static inline GENERAL_NAMES *sidereal_alternative_names(X509 *certificate)
{
    return X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}

static inline int sidereal_name_count(const GENERAL_NAMES *names)
{
    return names == NULL ? 0 : sk_GENERAL_NAME_num(names);
}

// The bytes of a name if it is a `type` (GEN_URI, GEN_DNS), else NULL.
static inline const unsigned char *sidereal_name(const GENERAL_NAMES *names, int index, int type, int *length)
{
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    if (name == NULL || name->type != type || (type != GEN_URI && type != GEN_DNS))
        return NULL;
    *length = ASN1_STRING_length(name->d.ia5);
    return ASN1_STRING_get0_data(name->d.ia5);
}

static inline void sidereal_names_free(GENERAL_NAMES *names)
{
    GENERAL_NAMES_free(names);
}

static inline int sidereal_SSL_CTX_set1_groups_list(SSL_CTX *context, const char *list)
{
    return SSL_CTX_set1_groups_list(context, (char *)list);
}

static inline int sidereal_SSL_CTX_set1_sigalgs_list(SSL_CTX *context, const char *list)
{
    return SSL_CTX_set1_sigalgs_list(context, list);
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
