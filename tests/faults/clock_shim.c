/* Moves the wall clock of one process: preloaded, it adds the microseconds in the file $FAULT_CLOCKS/$CHRONOS_REPLICA.
   The monotonic clock stays as it is, as when an operator or NTP sets the clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t nothing = 0;
static volatile int64_t *offset_us = &nothing;
static int (*true_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void find_offset(void) {
    const char *folder = getenv("FAULT_CLOCKS"), *replica = getenv("CHRONOS_REPLICA");
    true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    if (!folder || !replica) return;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, replica);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) offset_us = page;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    if (!true_clock) true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = true_clock(which, now);
    if (failed || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return failed;
    int64_t ns = now->tv_nsec + (*offset_us % 1000000) * 1000;
    now->tv_sec += *offset_us / 1000000;
    if (ns < 0) { ns += 1000000000; now->tv_sec--; }
    if (ns >= 1000000000) { ns -= 1000000000; now->tv_sec++; }
    now->tv_nsec = ns;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec moment;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &moment)) return -1;
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    if (into) *into = moment.tv_sec;
    return moment.tv_sec;
}
