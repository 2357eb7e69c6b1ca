#ifndef SIDEREAL_CMALLOC_SHIM_H
#define SIDEREAL_CMALLOC_SHIM_H

/* mallopt(3): glibc's own, and not in Swift's Glibc module. */
#include <malloc.h>

#endif
