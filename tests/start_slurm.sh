#!/bin/sh
# A SLURM cluster of one node, this machine, for the tests: start_slurm.sh start DIR | stop DIR.
# `start` installs slurm-wlm and munge with apt-get where they are missing (root needed), writes everything into DIR and
# prints the path of the slurm.conf to export as SLURM_CONF. Exit status 77: it cannot be had here.
set -eu
action=$1
directory=$2

stop() {
    # jobs outlive the daemons
    SLURM_CONF="$directory/slurm.conf" scancel --quiet --signal=KILL --full --user="$(id -un)" 2>/dev/null || true
    for daemon in slurmd slurmctld munged; do
        [ -f "$directory/$daemon.pid" ] || continue
        process=$(cat "$directory/$daemon.pid")
        kill "$process" 2>/dev/null || continue
        for _ in $(seq 20); do # its port is free when it is gone
            kill -0 "$process" 2>/dev/null || break
            sleep 0.1
        done
    done
}

install() {
    if command -v slurmctld >/dev/null && command -v munged >/dev/null; then return; fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "no SLURM here, and no apt-get as root to install it" >&2
        exit 77
    fi
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurm-wlm munge; } >"$directory/install.log" 2>&1 || {
        echo "apt-get could not install slurm-wlm and munge: $(tail -n 1 "$directory/install.log")" >&2
        exit 77
    }
}

configure() {
    port=${SLURM_TEST_PORT:-16817}
    cat >"$directory/slurm.conf" <<CONF
ClusterName=poa_bench_test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$directory/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
KillWait=2
SchedulerParameters=bf_interval=5,sched_interval=2
GresTypes=gpu
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) Gres=gpu:2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2 State=UP
CONF
    # two that can be asked for, as mim does, and stand for no device
    for file in /dev/null /dev/zero; do echo "NodeName=$(hostname) Name=gpu File=$file"; done >"$directory/gres.conf"
}

start() {
    mkdir -p "$directory/state" "$directory/spool"
    install
    configure
    dd if=/dev/urandom of="$directory/munge.key" bs=1024 count=1 2>/dev/null
    chmod 600 "$directory/munge.key"
    chmod 755 "$directory"
    munged --force --socket="$directory/munge.socket" --key-file="$directory/munge.key" \
        --pid-file="$directory/munged.pid" --log-file="$directory/munged.log" --seed-file="$directory/munge.seed"
    export SLURM_CONF="$directory/slurm.conf"
    slurmctld >/dev/null 2>&1
    slurmd >/dev/null 2>&1
    for _ in $(seq 60); do
        if sinfo --noheader --format %t 2>/dev/null | grep -q idle; then
            echo "$SLURM_CONF"
            return
        fi
        sleep 0.5
    done
    echo "SLURM does not come up: $(tail -n 3 "$directory/slurmctld.log" "$directory/slurmd.log")" >&2
    stop
    exit 1
}

"$action"
