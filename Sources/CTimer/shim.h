#ifndef SIDEREAL_CTIMER_SHIM_H
#define SIDEREAL_CTIMER_SHIM_H

/* timerfd_create(2): Linux's own, and not in Swift's Glibc module. Declared here, with the structs as plain memory, since
 * <sys/timerfd.h> would define struct timespec for Swift a second time. */
int timerfd_create(int clock, int flags);
int timerfd_settime(int descriptor, int flags, const void *time, void *former);

#define SIDEREAL_TFD_CLOEXEC 02000000
#define SIDEREAL_TFD_TIMER_ABSTIME 1

#endif
