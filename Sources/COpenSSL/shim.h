#ifndef SIDEREAL_COPENSSL_SHIM_H
#define SIDEREAL_COPENSSL_SHIM_H
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

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

// A BIO that reads from, or writes to, memory of its user while that is lent to it, so that a byte is copied once and not
// twice. What does not fit, and what lies in `spill` already, goes by way of that: a memory BIO.
typedef struct {
    BIO *spill;
    unsigned char *window;
    size_t size;
    size_t at;
} sidereal_pipe;

static inline int sidereal_pipe_read(BIO *bio, char *out, size_t count, size_t *done)
{
    sidereal_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (BIO_ctrl_pending(pipe->spill) > 0)
        return BIO_read_ex(pipe->spill, out, count, done);
    size_t left = pipe->size - pipe->at;
    if (left == 0) {
        BIO_set_retry_read(bio);
        *done = 0;
        return -1;
    }
    if (count > left)
        count = left;
    memcpy(out, pipe->window + pipe->at, count);
    pipe->at += count;
    *done = count;
    return 1;
}

static inline int sidereal_pipe_write(BIO *bio, const char *in, size_t count, size_t *done)
{
    sidereal_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (count > pipe->size - pipe->at || BIO_ctrl_pending(pipe->spill) > 0)
        return BIO_write_ex(pipe->spill, in, count, done);
    memcpy(pipe->window + pipe->at, in, count);
    pipe->at += count;
    *done = count;
    return 1;
}

static inline long sidereal_pipe_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static inline int sidereal_pipe_free(BIO *bio)
{
    sidereal_pipe *pipe = BIO_get_data(bio);
    if (pipe != NULL)
        BIO_free(pipe->spill);
    OPENSSL_free(pipe);
    BIO_set_data(bio, NULL);
    return 1;
}

// NULL without memory. For one that reads and one that writes alike.
static inline BIO_METHOD *sidereal_pipe_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sidereal pipe");
    if (method == NULL)
        return NULL;
    BIO_meth_set_read_ex(method, sidereal_pipe_read);
    BIO_meth_set_write_ex(method, sidereal_pipe_write);
    BIO_meth_set_ctrl(method, sidereal_pipe_ctrl);
    BIO_meth_set_destroy(method, sidereal_pipe_free);
    return method;
}

// Takes `spill` over; NULL without memory, and then it does not.
static inline BIO *sidereal_pipe_new(const BIO_METHOD *method, BIO *spill)
{
    sidereal_pipe *pipe = OPENSSL_zalloc(sizeof *pipe);
    BIO *bio = pipe == NULL || method == NULL ? NULL : BIO_new(method);
    if (bio == NULL) {
        OPENSSL_free(pipe);
        return NULL;
    }
    pipe->spill = spill;
    BIO_set_data(bio, pipe);
    BIO_set_init(bio, 1);
    return bio;
}

static inline void sidereal_pipe_lend(BIO *bio, void *window, size_t size)
{
    sidereal_pipe *pipe = BIO_get_data(bio);
    pipe->window = window;
    pipe->size = size;
    pipe->at = 0;
}

// How much of it was read or written.
static inline size_t sidereal_pipe_take_back(BIO *bio)
{
    sidereal_pipe *pipe = BIO_get_data(bio);
    size_t at = pipe->at;
    pipe->window = NULL;
    pipe->size = pipe->at = 0;
    return at;
}
#endif
