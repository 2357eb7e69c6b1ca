#ifndef SIDEREAL_CCURL_SHIM_H
#define SIDEREAL_CCURL_SHIM_H

// The type-checking macros of curl/typecheck-gcc.h replace the functions by expressions that the shims below,
// which pass the option as a variable, would defeat anyway.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <openssl/ssl.h>

// Swift cannot call variadic functions. One wrapper for each type that an option may have.

static inline CURLcode shim_curl_setopt_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode shim_curl_setopt_offset(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode shim_curl_setopt_string(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode shim_curl_setopt_pointer(CURL *easy, CURLoption option, const void *value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode shim_curl_setopt_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(easy, option, value);
}

// The bytes are not copied: they must outlive the transfer.
static inline CURLcode shim_curl_setopt_blob(CURL *easy, CURLoption option, const void *bytes, size_t count) {
    struct curl_blob blob = {(void *)bytes, count, CURL_BLOB_NOCOPY};
    return curl_easy_setopt(easy, option, &blob);
}

// Both CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION take this type.
static inline CURLcode shim_curl_setopt_write(CURL *easy, CURLoption option, curl_write_callback value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode shim_curl_setopt_prereq(CURL *easy, curl_prereq_callback value) {
    return curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, value);
}

// The only algorithms that are offered and taken, in OpenSSL's notation.
struct shim_curl_rules {
    const char *signatures;
    const char *groups;
};

// Called by libcurl for each new connection, that to an https proxy included, with OpenSSL's context: keys and
// signatures of less than 112 bits of strength are refused even where the distribution allows them (security level 1),
// and `rules`, if any, hold. The groups are among them as libcurl has no option for those of a proxy.
static inline CURLcode shim_curl_harden(CURL *easy, void *context, void *data) {
    (void)easy;
    const struct shim_curl_rules *rules = (const struct shim_curl_rules *)data;
    SSL_CTX *tls = (SSL_CTX *)context;
    if (SSL_CTX_get_security_level(tls) < 2) SSL_CTX_set_security_level(tls, 2);
    if (!rules) return CURLE_OK;
    if (SSL_CTX_set1_sigalgs_list(tls, rules->signatures) != 1) return CURLE_SSL_CIPHER;
    return SSL_CTX_set1_groups_list(tls, rules->groups) == 1 ? CURLE_OK : CURLE_SSL_CIPHER;
}

static inline CURLcode shim_curl_setopt_harden(CURL *easy, const struct shim_curl_rules *rules) {
    CURLcode code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, shim_curl_harden);
    return code == CURLE_OK ? curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, (void *)rules) : code;
}

static inline long shim_curl_getinfo_long(CURL *easy, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(easy, info, &value) == CURLE_OK ? value : 0;
}

static inline curl_off_t shim_curl_getinfo_offset(CURL *easy, CURLINFO info) {
    curl_off_t value = 0;
    return curl_easy_getinfo(easy, info, &value) == CURLE_OK ? value : 0;
}

static inline CURLMcode shim_curl_multi_setopt_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

// The next finished transfer and its result, or NULL. Spares Swift the union inside CURLMsg.
static inline CURL *shim_curl_multi_next_done(CURLM *multi, CURLcode *result) {
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            *result = message->data.result;
            return message->easy_handle;
        }
    }
    return NULL;
}

#endif
