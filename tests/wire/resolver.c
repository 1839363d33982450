/* Leads the names of load balancers to loopback (LD_PRELOAD), and the names of the sites with them: they are in no DNS, and where the sites
   lead is nothing that a server of the tests would turn over. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

static int ends_with(const char *name, const char *suffix) {
  size_t length = strlen(name), end = strlen(suffix);
  return length >= end && strcmp(name + length - end, suffix) == 0;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
  int here = node && (ends_with(node, ".elb.amazonaws.com") || ends_with(node, ".company.com"));
  return resolve(here ? "127.0.0.1" : node, service, hints, found);
}
