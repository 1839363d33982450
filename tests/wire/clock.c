/* Makes the calendar of a process run WF_CLOCK_SPEED times faster (LD_PRELOAD). Only CLOCK_REALTIME: timers count monotonic time and stay as
 * they are. CloudWatch has one sample a minute, and the failback waits for samples of minutes that began after its steps did. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

static long long now(void) {
  struct timespec real;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
  return real.tv_sec * BILLION + real.tv_nsec;
}

static long long began, speed;

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("WF_CLOCK_SPEED");
  began = now();
  speed = text ? atoll(text) : 1;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (clock != CLOCK_REALTIME) return (int)syscall(SYS_clock_gettime, clock, time);
  long long shown = began + (now() - began) * speed;
  time->tv_sec = shown / BILLION;
  time->tv_nsec = shown % BILLION;
  return 0;
}
