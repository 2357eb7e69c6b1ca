#pragma once

/// Calls of malloc, calloc, realloc and the aligned allocators since the process began, by all threads.
unsigned long allocation_count(void);
