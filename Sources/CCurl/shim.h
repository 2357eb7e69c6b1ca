#ifndef SIDEREAL_CCURL_SHIM_H
#define SIDEREAL_CCURL_SHIM_H
#include <curl/curl.h>
#endif
