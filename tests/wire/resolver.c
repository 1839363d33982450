/* Leads the names of load balancers to loopback (LD_PRELOAD): those of the clusters' ingresses are in no DNS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

static const char suffix[] = ".elb.amazonaws.com";

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
  size_t length = node ? strlen(node) : 0;
  int balancer = length >= sizeof suffix && strcmp(node + length + 1 - sizeof suffix, suffix) == 0;
  return resolve(balancer ? "127.0.0.1" : node, service, hints, found);
}
