#!/bin/sh
# Tests the lab's kernel: its self-test on 1, 2, 4 and 8 processors, and what it says of a driver with one offence per case.
#
#   lab/kernel/tests/selftest.sh KERNEL WORK [BOOTS]
#
# KERNEL  the bootable image: cargo build --release --target x86_64-unknown-none -p rundown-lab-image
# WORK    a folder for the test driver and for the logs of runs that went wrong
# BOOTS   boots per configuration, each with its own seed (3 unless given)
#
# Needs qemu-system-x86_64, and a rustc (RUSTC) with the target x86_64-pc-windows-msvc and a linker (LLD_LINK, lld-link-19).
# Prints `N passed, N failed`; exits with 1 if one failed. A boot takes about half a second.
set -eu

kernel=$1
work=$2
boots=${3:-3}
mkdir -p "$work"
driver=$work/driver.sys
here=$(dirname "$0")

"${RUSTC:-rustc}" --edition 2024 --target x86_64-pc-windows-msvc --crate-type cdylib --crate-name driver -O -g \
    -C panic=abort -C linker="${LLD_LINK:-lld-link-19}" -C linker-flavor=lld-link \
    -C link-args="/DRIVER /SUBSYSTEM:NATIVE /ENTRY:DriverEntry /NODEFAULTLIB" -o "$driver" "$here/driver.rs"
{ printf MZ && head -c 4096 /dev/zero; } > "$work/junk"

passed=0
failed=0

# boot CPUS MODULE|- EXIT TEXT APPEND: boots once; QEMU must exit with EXIT (33 passed, 35 the driver failed, 37 bad input)
# and the log must hold TEXT.
boot() {
    log=$work/log
    status=0
    timeout 120 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "$1" -m 256 -display none -nodefaults -no-reboot \
        -debugcon "file:$log" -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$kernel" \
        $([ "$2" = - ] || echo "-initrd $2") -append "cpus=$1 $5" || status=$?
    if [ "$status" = "$3" ] && grep -qF "$4" "$log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        cp "$log" "$work/failed-$failed.log"
        echo "FAILED: cpus=$1 $5: QEMU's exit code $status, expected $3 and '$4'; see $work/failed-$failed.log" >&2
        grep -E '^(bug|log: FAILED|bad-input):' "$log" >&2 || true
    fi
}

# case CASE EXIT TEXT [APPEND]: boots the test driver for one case, on as many processors as the seed says, in both modes.
case_() {
    seed=0
    while [ "$seed" -lt "$boots" ]; do
        seed=$((seed + 1))
        for mode in smp chaos; do
            boot $((1 << seed % 3)) "$driver" "$2" "$3" "case=$1 seed=$seed mode=$mode ${4:-}"
        done
    done
}

seed=0
while [ "$seed" -lt "$boots" ]; do
    seed=$((seed + 1))
    for cpus in 1 2 4 8; do
        boot $cpus "$driver" 33 "0 failed" "selftest seed=$seed mode=smp"
        boot $cpus "$driver" 33 "0 failed" "selftest seed=$seed mode=chaos monitorx=0 unparked=1 cpy=7"
    done
done

boot 1 - 37 "no driver" ""
boot 1 "$work/junk" 37 "not an x64 kernel-mode image" ""
boot 1 "$driver" 37 "which it does not know" "no-such-word=1"

case_ 0 33 "log: passed"
case_ 1 35 "KMODE_EXCEPTION_NOT_HANDLED 0xffffffffc0000005"
case_ 2 35 "8 bytes behind the end of the pool block"
case_ 3 35 "BAD_POOL_CALLER 0x7"
case_ 4 35 "DRIVER_VERIFIER_DETECTED_VIOLATION 0x62 0x0 0x1 0x28"
case_ 5 35 "DRIVER_VERIFIER_DETECTED_VIOLATION 0x3b 0x2"
case_ 6 35 "DRIVER_VERIFIER_DETECTED_VIOLATION 0x31 0x0 0x2"
case_ 7 35 "IRQL_UNEXPECTED_VALUE 0x20000"
case_ 8 35 "UNEXPECTED_KERNEL_MODE_TRAP 0x8"
case_ 9 35 "SPIN_LOCK_ALREADY_OWNED"
case_ 11 33 "log: passed"
case_ 12 35 "ATTEMPTED_WRITE_TO_READONLY_MEMORY 0xfffff78000000008"
case_ 13 35 "bug: 0x0000dead UNKNOWN_BUGCHECK 0x1 0x2 0x3 0x4"
case_ 14 35 "DPC_WATCHDOG_VIOLATION 0x0" "raised=1000"
case_ 15 35 "DRIVER_VERIFIER_DETECTED_VIOLATION 0x1ab2 0x3"
case_ 16 35 "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
case_ 17 35 "a breakpoint (int 3)"
case_ 18 33 "monitorx=2 monitorx_series=1 mwaitx=2"
case_ 19 35 "BAD_POOL_CALLER 0xa"
case_ 20 35 "BAD_POOL_HEADER 0x20"
case_ 21 35 "STACK_WAIT_TIMEOUT" "hang=3000"
case_ 22 35 "LOST_WAKEUP: the wait block" "grace=1000"
case_ 23 35 "BAD_DISPATCHER_OBJECT"
case_ 24 35 "ATTEMPTED_WRITE_TO_READONLY_MEMORY"
case_ 25 35 "DRIVER_VERIFIER_DETECTED_VIOLATION 0x1ab3"

# A releaser whose test-and-clear is a load and a store must lose a wake-up within ten thousand generations, in chaos mode.
seed=0
while [ "$seed" -lt "$boots" ]; do
    seed=$((seed + 1))
    boot $((2 << seed % 2)) "$driver" 35 "earlier sleeping waits were woken" "case=10 mode=chaos grace=1000 seed=$seed"
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
