/* Stands between a process and its files (LD_PRELOAD) and writes down, in their order, the calls that change what is under
 * WF_SHIM_ROOT: one call at a time, so the order is the real one. What it overlooks shows in the test, which compares the model of the
 * disk that it builds from the trace with the real files.
 *
 *   WF_SHIM_ROOT   the directory that is watched, absolute
 *   WF_SHIM_TRACE  the file to append to; trace.rs reads it
 *   WF_SHIM_MARKS  what the process writes to this file are marks: "die N" ends the process instead of its Nth fdatasync from there,
 *                  "fail N" makes that one return EIO without syncing
 *   WF_SHIM_FAIL   fails the Nth fdatasync of each process, for those that write no marks; needs no trace
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
enum { OTHER, WATCHED, MARKS };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char what[FDS];
static const char *root, *marks;
static int trace = -1;
static long die_in, fail_in;

static void note(char kind, int fd, uint64_t number, const void *data, size_t len) {
  struct __attribute__((packed)) { char kind; int32_t fd; uint64_t number; uint32_t len; } head = {kind, fd, number, (uint32_t)len};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, len}};
  if (trace >= 0 && syscall(SYS_writev, trace, parts, 2) != (long)(sizeof head + len)) _exit(97);
}

__attribute__((constructor)) static void start(void) {
  root = getenv("WF_SHIM_ROOT");
  marks = getenv("WF_SHIM_MARKS");
  const char *number = getenv("WF_SHIM_FAIL");
  if (number) fail_in = atol(number);
  const char *file = getenv("WF_SHIM_TRACE");
  if (!root || !file) return;
  trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (trace < 0) _exit(98);
  note('P', -1, 0, "", 0);
}

static int kind_of(int fd) { return fd >= 0 && fd < FDS ? what[fd] : OTHER; }

/* The absolute path; 0 when it is not watched. */
static int watched(int dir, const char *path, char *whole) {
  if (!root) return 0;
  if (path[0] == '/') {
    snprintf(whole, PATH_MAX, "%s", path);
  } else {
    char link[64], base[PATH_MAX / 2];
    if (dir == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t len = readlink(link, base, sizeof base - 1);
    if (len < 0) return 0;
    base[len] = 0;
    snprintf(whole, PATH_MAX, "%s/%.2000s", base, path);
  }
  size_t len = strlen(root);
  return strncmp(whole, root, len) == 0 && (whole[len] == '/' || whole[len] == 0);
}

static int open_any(int dir, const char *path, int flags, int mode) {
  char whole[PATH_MAX];
  pthread_mutex_lock(&lock);
  int fd = syscall(SYS_openat, dir, path, flags, mode);
  if (fd >= 0 && fd < FDS) {
    what[fd] = OTHER;
    if (marks && strcmp(path, marks) == 0) what[fd] = MARKS;
    else if (watched(dir, path, whole)) {
      what[fd] = WATCHED;
      note('O', fd, ((flags & O_CREAT) ? 1 : 0) | ((flags & O_TRUNC) ? 2 : 0), whole, strlen(whole));
    }
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define MODE int mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); }
int open(const char *path, int flags, ...) { MODE return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE return open_any(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE return open_any(dir, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
  pthread_mutex_lock(&lock);
  if (kind_of(fd) == WATCHED) note('C', fd, 0, "", 0);
  if (fd >= 0 && fd < FDS) what[fd] = OTHER;
  int done = syscall(SYS_close, fd);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
  if (kind_of(fd) != WATCHED) return syscall(SYS_pwrite64, fd, data, len, at);
  pthread_mutex_lock(&lock);
  ssize_t done = syscall(SYS_pwrite64, fd, data, len, at);
  if (done > 0) note('W', fd, at, data, done);
  pthread_mutex_unlock(&lock);
  return done;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return pwrite64(fd, data, len, at); }

static void mark(const char *text, size_t len) {
  char line[64] = {0};
  memcpy(line, text, len < sizeof line ? len : sizeof line - 1);
  if (sscanf(line, "die %ld", &die_in) != 1 && sscanf(line, "fail %ld", &fail_in) != 1) note('A', -1, 0, text, len);
}

ssize_t write(int fd, const void *data, size_t len) {
  int kind = kind_of(fd);
  if (kind == OTHER) return syscall(SYS_write, fd, data, len);
  pthread_mutex_lock(&lock);
  ssize_t done = len;
  if (kind == MARKS) mark(data, len);
  else {
    int flags = syscall(SYS_fcntl, fd, F_GETFL);
    off_t at = syscall(SYS_lseek, fd, 0, (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
    done = syscall(SYS_write, fd, data, len);
    if (done > 0) note('W', fd, at, data, done);
  }
  pthread_mutex_unlock(&lock);
  return done;
}

/* Nobody minds a short write. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (kind_of(fd) == OTHER) return syscall(SYS_writev, fd, parts, count);
  for (int i = 0; i < count; i++)
    if (parts[i].iov_len) return write(fd, parts[i].iov_base, parts[i].iov_len);
  return 0;
}

int ftruncate64(int fd, off64_t len) {
  pthread_mutex_lock(&lock);
  int done = syscall(SYS_ftruncate, fd, len);
  if (done == 0 && kind_of(fd) == WATCHED) note('T', fd, len, "", 0);
  pthread_mutex_unlock(&lock);
  return done;
}
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int fsync(int fd) {
  pthread_mutex_lock(&lock);
  int done = syscall(SYS_fsync, fd);
  if (done == 0 && kind_of(fd) == WATCHED) note('S', fd, 0, "", 0);
  pthread_mutex_unlock(&lock);
  return done;
}

int fdatasync(int fd) {
  pthread_mutex_lock(&lock);
  int done = 0, ours = kind_of(fd) == WATCHED;
  if (ours && die_in > 0 && --die_in == 0) _exit(9);
  if (ours && fail_in > 0 && --fail_in == 0) { errno = EIO; done = -1; }
  else done = syscall(SYS_fdatasync, fd);
  if (done == 0 && ours) note('D', fd, 0, "", 0);
  pthread_mutex_unlock(&lock);
  return done;
}

static int rename_any(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  char both[2 * PATH_MAX], whole[PATH_MAX];
  pthread_mutex_lock(&lock);
  int ours = watched(from_dir, from, both);
  size_t len = strlen(both) + 1;
  ours = watched(to_dir, to, whole) || ours;
  int done = syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
  if (done == 0 && ours) {
    memcpy(both + len, whole, strlen(whole));
    note('R', -1, 0, both, len + strlen(whole));
  }
  pthread_mutex_unlock(&lock);
  return done;
}
int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return rename_any(from_dir, from, to_dir, to, 0); }
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) { return rename_any(from_dir, from, to_dir, to, flags); }

int unlinkat(int dir, const char *path, int flags) {
  char whole[PATH_MAX];
  pthread_mutex_lock(&lock);
  int ours = watched(dir, path, whole);
  int done = syscall(SYS_unlinkat, dir, path, flags);
  if (done == 0 && ours) note('U', -1, 0, whole, strlen(whole));
  pthread_mutex_unlock(&lock);
  return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
  char whole[PATH_MAX];
  pthread_mutex_lock(&lock);
  int ours = watched(dir, path, whole);
  int done = syscall(SYS_mkdirat, dir, path, mode);
  if (done == 0 && ours) note('M', -1, 0, whole, strlen(whole));
  pthread_mutex_unlock(&lock);
  return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
