#!/bin/bash
# A Slurm of one node, as root in a container that has slurm-wlm and munge, for as long as a command runs:
#
#     tests/slurm/cluster.sh python -m pytest tests/slurm
#
# The node claims eight processors and a GPU that are not there: what is tested is how jobs are dealt
# with, not how fast they are.
set -eu
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "error: not root; munged and slurmd need it." >&2; exit 2; }

room=$(mktemp -d)
chmod 755 "$room"
host=$(hostname -s)

stop() {
    for name in slurmctld slurmd; do
        if [ -s "$room/$name.pid" ]; then kill "$(cat "$room/$name.pid")" 2>/dev/null || true; fi
    done
    if [ -n "${munge:-}" ]; then kill "$munge" 2>/dev/null || true; fi
    sleep 1
    rm -rf "$room"
}
trap stop EXIT

mkdir -p "$room/munge" "$room/state" "$room/spool"
dd if=/dev/urandom of="$room/munge/key" bs=1024 count=1 status=none
chmod 700 "$room/munge"
chmod 600 "$room/munge/key"
chown -R munge: "$room/munge"
# munged is particular about who may write the folders above its files; these have names of their own here.
runuser -u munge -- munged --foreground --force --key-file="$room/munge/key" --socket="$room/munge/socket" \
    --pid-file="$room/munge/pid" --seed-file="$room/munge/seed" >"$room/munge.log" 2>&1 &
munge=$!
for _ in $(seq 50); do [ -S "$room/munge/socket" ] && break; sleep 0.1; done
chmod 711 "$room/munge"

cat >"$room/slurm.conf" <<CONF
ClusterName=tile2vec
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$room/munge/socket,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$room/slurmctld.pid
SlurmdPidFile=$room/slurmd.pid
SlurmctldLogFile=$room/slurmctld.log
SlurmdLogFile=$room/slurmd.log
StateSaveLocation=$room/state
SlurmdSpoolDir=$room/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
KillWait=30
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=65536 Gres=gpu:1
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
echo "Name=gpu File=/dev/null" >"$room/gres.conf"
export SLURM_CONF=$room/slurm.conf

slurmctld
slurmd
for _ in $(seq 60); do
    if sinfo --noheader --states=idle 2>/dev/null | grep -q idle; then
        "$@"
        exit
    fi
    sleep 0.5
done
echo "error: the node does not come up; see what follows." >&2
tail -n 20 "$room"/*.log >&2
exit 1
