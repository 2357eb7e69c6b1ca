#ifndef SIDEREAL_CYAML_SHIM_H
#define SIDEREAL_CYAML_SHIM_H
#include <stddef.h>
#include <yaml.h>

// The members of an event's union, whose names Swift would import as types within types within a type.

static inline const unsigned char *sidereal_yaml_anchor(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT: return event->data.alias.anchor;
    case YAML_SCALAR_EVENT: return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT: return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT: return event->data.mapping_start.anchor;
    default: return NULL;
    }
}

// The tag that was written; NULL if there was none.
static inline const unsigned char *sidereal_yaml_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT: return event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT: return event->data.mapping_start.tag;
    default: return NULL;
    }
}

// The text of a scalar, which ends after `*count` bytes.
static inline const unsigned char *sidereal_yaml_text(const yaml_event_t *event, size_t *count)
{
    *count = event->data.scalar.length;
    return event->data.scalar.value;
}

// Whether a scalar stands without quotes, and not as a block.
static inline int sidereal_yaml_is_plain(const yaml_event_t *event)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}
#endif
