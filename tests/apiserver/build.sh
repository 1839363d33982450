#!/usr/bin/env bash
# Makes the API server of Kubernetes and its store, for tests/apiserver, and prints the directory with both programs.
#
# Debian 12 ships the source of Kubernetes 1.20 with all that it needs in vendor/, and Go 1.19. Two of the vendored modules are older than
# that Go can build, so Debian's own versions take their place. Nothing is installed: packages are unpacked in the cache. What is made is
# kept, so a second call only prints. WF_APISERVER_CACHE names another place for it, WF_APISERVER_KEEP=1 keeps what it was made from.
set -euo pipefail

cache=${WF_APISERVER_CACHE:-${XDG_CACHE_HOME:-${HOME:?no HOME and no XDG_CACHE_HOME}/.cache}/wf-apiserver}
kubernetes=1.20.2
packages=(golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev golang-github-json-iterator-go-dev
    etcd-server rsync libpopt0 libxxhash0)

die() {
    echo "tests/apiserver/build.sh: $*" >&2
    exit 1
}

# Written last, so programs without it are the rest of a build that was cut off.
stamp=$cache/bin/kubernetes-$kubernetes
if [[ -e $stamp ]]; then
    echo "$cache/bin"
    exit
fi

for tool in apt-get dpkg flock make gcc tar; do
    command -v "$tool" >/dev/null || die "needs $tool (Debian: apt-get install apt dpkg-dev build-essential util-linux tar)"
done
mkdir -p "$cache/bin" || die "cannot write $cache; WF_APISERVER_CACHE names another place"
cache=$(cd "$cache" && pwd)
free_kib=$(df --output=avail "$cache" | tail -n 1)
((free_kib > 5 * 1024 * 1024)) || die "needs 5 GiB in $cache while it builds; $((free_kib / 1024)) MiB are free"

# Two calls at once build once: the lock is the file system's, so that it goes away with its holder.
exec 9>"$cache/lock"
flock 9
if [[ -e $stamp ]]; then
    echo "$cache/bin"
    exit
fi

build=$cache/build
log=$cache/build.log
rm -rf "$build"
mkdir -p "$build"/{parts,lists/partial,debs,root,path/src/k8s.io}
cd "$build"

# Debian's archive as this machine already knows it, with its sources too; the machine's own lists stay as they are.
if [[ -e /etc/apt/sources.list.d/debian.sources ]]; then
    sed 's/^Types:.*/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources >parts/debian.sources
elif [[ -e /etc/apt/sources.list ]]; then
    sed -n 's/^deb \(.*\)/deb \1\ndeb-src \1/p' /etc/apt/sources.list >parts/debian.list
else
    die "needs Debian's archive in /etc/apt/sources.list or /etc/apt/sources.list.d/debian.sources"
fi
apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$build/parts" -o "Dir::State::Lists=$build/lists" -o APT::Sandbox::User=root)
step() {
    local what=$1
    shift
    echo "tests/apiserver/build.sh: $what" >&2
    "$@" >>"$log" 2>&1 || die "failed to $what, from Debian 12's archive; the end of $log:"$'\n'"$(tail -n 15 "$log")"
}
: >"$log"
step "list the packages" "${apt[@]}" update
step "fetch the source of Kubernetes" "${apt[@]}" source --download-only kubernetes
shopt -s nullglob
sources=(kubernetes_"$kubernetes"*.orig.tar.* kubernetes_*really"$kubernetes"*.orig.tar.*)
[[ ${#sources[@]} -gt 0 ]] || die "needs the source of Kubernetes $kubernetes, which Debian 12 has; found $(echo kubernetes_*.orig.tar.*)"
cd debs
step "fetch ${packages[*]}" "${apt[@]}" download "${packages[@]}"
cd ..
for deb in debs/*.deb; do
    dpkg -x "$deb" root
done
tree=$build/kubernetes
mkdir "$tree"
tar xf "${sources[0]}" -C "$tree" --strip-components 1
for module in modern-go/reflect2 json-iterator/go; do
    rm -rf "$tree/vendor/github.com/$module"
    cp -r "root/usr/share/gocode/src/github.com/$module" "$tree/vendor/github.com/$module"
    find "$tree/vendor/github.com/$module" -name '*_test.go' -delete
done
ln -s "$tree" path/src/k8s.io/kubernetes

export GOROOT=$build/root/usr/lib/go-1.19 GOPATH=$build/path GOCACHE=$build/gocache GO111MODULE=off GOFLAGS=-p=2 CGO_ENABLED=0
export KUBE_GIT_VERSION=v$kubernetes PATH=$build/root/usr/lib/go-1.19/bin:$build/root/usr/bin:$PATH
LD_LIBRARY_PATH=$(echo "$build"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
cd path/src/k8s.io/kubernetes
step "build the API server (ten minutes of CPU)" nice make WHAT=cmd/kube-apiserver

cp _output/bin/kube-apiserver "$build/root/usr/bin/etcd" "$cache/bin/"
unset LD_LIBRARY_PATH
"$cache/bin/kube-apiserver" --version >>"$log" 2>&1 || die "the API server does not run: $log"
"$cache/bin/etcd" --version >>"$log" 2>&1 || die "etcd does not run: $log"
touch "$stamp"
[[ -n ${WF_APISERVER_KEEP:-} ]] || { chmod -R u+w "$build" && rm -rf "$build"; }
echo "$cache/bin"
