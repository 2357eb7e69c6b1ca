#ifndef SIDEREAL_CISAL_SHIM_H
#define SIDEREAL_CISAL_SHIM_H
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Goes on with a CRC-32C; both inversions of RFC 3720 are left to the caller, as by ISA-L, which would have the length as
// an int.
static inline uint32_t sidereal_crc32c(uint32_t state, const void *bytes, size_t count)
{
    return crc32_iscsi((unsigned char *)bytes, (int)count, state);
}

// Has the processor fetch memory that is about to be read.
static inline void sidereal_prefetch(const void *bytes, size_t count)
{
    for (size_t at = 0; at < count; at += 64)
        __builtin_prefetch((const char *)bytes + at);
}

// The stream structures hold arrays of 64 KiB, which Swift would import as tuples of as many elements.
// They stay opaque: never defined, only cast.
typedef struct sidereal_deflate sidereal_deflate;
typedef struct sidereal_inflate sidereal_inflate;

// A stream with its level-1 buffer behind it in the same block; NULL without memory.
static inline sidereal_deflate *sidereal_deflate_new(void)
{
    return (sidereal_deflate *)malloc(sizeof(struct isal_zstream) + ISAL_DEF_LVL1_DEFAULT);
}

static inline void sidereal_deflate_free(sidereal_deflate *handle)
{
    free(handle);
}

// Starts a gzip member over the whole of `input`.
static inline void sidereal_deflate_begin(sidereal_deflate *handle, const uint8_t *input, uint32_t count)
{
    struct isal_zstream *stream = (struct isal_zstream *)handle;
    isal_deflate_init(stream);
    stream->level = 1;
    stream->level_buf = (uint8_t *)(stream + 1);
    stream->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream->gzip_flag = IGZIP_GZIP;
    stream->end_of_stream = 1;
    stream->flush = NO_FLUSH;
    stream->next_in = (uint8_t *)input;
    stream->avail_in = count;
}

// Writes as much as fits; `*written` bytes were written, `*finished` says whether the member is complete.
static inline int sidereal_deflate_step(
    sidereal_deflate *handle, uint8_t *output, uint32_t room, uint32_t *written, int *finished)
{
    struct isal_zstream *stream = (struct isal_zstream *)handle;
    stream->next_out = output;
    stream->avail_out = room;
    int code = isal_deflate(stream);
    *written = room - stream->avail_out;
    *finished = stream->internal_state.state == ZSTATE_END;
    return code;
}

static inline sidereal_inflate *sidereal_inflate_new(void)
{
    return (sidereal_inflate *)malloc(sizeof(struct inflate_state));
}

static inline void sidereal_inflate_free(sidereal_inflate *handle)
{
    free(handle);
}

// Starts with the first gzip member of `input`.
static inline void sidereal_inflate_begin(sidereal_inflate *handle, const uint8_t *input, uint32_t count)
{
    struct inflate_state *state = (struct inflate_state *)handle;
    isal_inflate_init(state);
    state->crc_flag = ISAL_GZIP;
    state->next_in = (uint8_t *)input;
    state->avail_in = count;
}

// Starts with the member that follows the one just finished.
static inline void sidereal_inflate_next_member(sidereal_inflate *handle)
{
    struct inflate_state *state = (struct inflate_state *)handle;
    isal_inflate_reset(state);
    state->crc_flag = ISAL_GZIP;
}

// Writes as much as fits. `*finished`: the member is complete and its checksum and length hold;
// `*left`: bytes of input behind what was read.
static inline int sidereal_inflate_step(
    sidereal_inflate *handle, uint8_t *output, uint32_t room, uint32_t *written, uint32_t *left, int *finished)
{
    struct inflate_state *state = (struct inflate_state *)handle;
    state->next_out = output;
    state->avail_out = room;
    int code = isal_inflate(state);
    *written = room - state->avail_out;
    *left = state->avail_in;
    *finished = state->block_state == ISAL_BLOCK_FINISH;
    return code;
}
#endif
