# What a host says of itself, as key=value lines. Only sh and coreutils; what can't be found is left empty.
echo "hostname=$(uname -n)"
echo "user=$(id -un)"
echo "kernel=$(uname -s) $(uname -r)"
echo "architecture=$(uname -m)"
PRETTY_NAME=
if [ -r /etc/os-release ]; then . /etc/os-release; fi
echo "os=${PRETTY_NAME:-$(uname -s)}"
echo "cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)"
free=
while read -r name value unit; do
    case $name in
        MemTotal:) echo "memory_kib=$value" ;;
        MemFree:) free=${free:-$value} ;;
        MemAvailable:) free=$value ;;
    esac
done </proc/meminfo
echo "memory_free_kib=$free"
df -Pk / | while read -r device size used free rest; do
    case $size in
        [0-9]*) echo "disk_kib=$size"; echo "disk_free_kib=$free" ;;
    esac
done
read -r up rest </proc/uptime
echo "uptime_s=${up%%.*}"
echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
time=$(date +%s%N)
case $time in
    *N) time=${time%N}000000000 ;;
esac
echo "time_ns=$time"
