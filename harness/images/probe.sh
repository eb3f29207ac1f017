# What this kernel offers, asked inside a network namespace of its own so that nothing of the host
# changes. Each line: feature, yes|no|unknown, and the reason when it is not yes. Read by host.py.

say() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }

# try FEATURE PROGRAM COMMAND...: the feature is there if the command succeeds.
try() {
  feature=$1; program=$2; shift 2
  if ! command -v "$program" > /dev/null 2>&1; then
    say "$feature" unknown "$program is not installed where this was asked"
  elif told=$("$@" 2>&1 < /dev/null); then
    say "$feature" yes ""
  else
    say "$feature" no "$(printf '%s' "$told" | head -n 1)"
  fi
}

# when FEATURE REASON COMMAND...: as try, for commands that say nothing themselves.
when() {
  feature=$1; reason=$2; shift 2
  if "$@" < /dev/null > /dev/null 2>&1; then say "$feature" yes ""; else say "$feature" no "$reason"; fi
}

try tbf tc tc qdisc replace dev lo root tbf rate 1mbit burst 10kb latency 50ms
try htb tc tc qdisc replace dev lo root htb
try netem tc tc qdisc replace dev lo root netem delay 1ms
try nftables nft nft add table inet probe
try nfqueue iptables iptables -A INPUT -j NFQUEUE --queue-num 0 --queue-bypass
try ipset ipset ipset create probe hash:ip
try syscall-delay strace strace -qq -f -o /dev/null -e inject=getpid:delay_enter=1 true
when fuse "/dev/fuse or the file system is missing" sh -c 'test -c /dev/fuse && grep -qw fuse /proc/filesystems'
when device-mapper "the kernel has no device mapper" grep -qw device-mapper /proc/misc
when loop-devices "/dev/loop-control is missing" test -e /dev/loop-control
when modules "the kernel loads no modules" test -e /proc/modules
when pressure "no pressure stall information (CONFIG_PSI)" test -r /proc/pressure/memory
when kernel-log "/dev/kmsg cannot be read" timeout 2 dd if=/dev/kmsg of=/dev/null iflag=nonblock bs=8192 count=1
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  when io-throttle "no io controller" grep -qw io /sys/fs/cgroup/cgroup.controllers
  say freezer yes ""
else
  when io-throttle "no blkio throttle in cgroup v1" test -e /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device
  when freezer "no freezer in cgroup v1" test -d /sys/fs/cgroup/freezer
fi
