// What is said to valgrind are instructions without effect where it does not run.
#include "Callgrind.h"

#include <valgrind/callgrind.h>

int callgrind_runs(void) { return RUNNING_ON_VALGRIND != 0; }

void callgrind_begin(void) { CALLGRIND_START_INSTRUMENTATION; }

void callgrind_end(void) { CALLGRIND_STOP_INSTRUMENTATION; }
