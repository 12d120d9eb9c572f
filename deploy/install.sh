#!/bin/sh
# Installs gdwatch below /opt/gdwatch, with its units, and starts it. Call it again to bring an
# installation up to date: the ledger is upgraded, settings and drop-ins stay as they are.
set -eu

usage() {
    cat <<'TEXT'
usage: deploy/install.sh [--group NAME] [--python PYTHON]
       deploy/install.sh --uninstall

  --group NAME      members of this group drop photographs and take the answers away
  --python PYTHON   the interpreter, 3.11 or later (python3)
  --uninstall       takes the program and its units away; leaves settings, photographs and ledgers
TEXT
}

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
program=/opt/gdwatch
units=/etc/systemd/system
group='' python=python3 uninstall=''
while [ $# -gt 0 ]; do
    case $1 in
    --group | --python)
        [ $# -ge 2 ] || fail "$1: no value" 2
        if [ "$1" = --group ]; then group=$2; else python=$2; fi
        shift
        ;;
    --uninstall) uninstall=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || fail "only root may install: sudo $0"

# The services of gdwatch that run now, of all roots.
running() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading \
        'gdwatch.service' 'gdwatch@*.service' | cut -d' ' -f1
}

if [ -n "$uninstall" ]; then
    for unit in $(running); do systemctl stop "$unit"; done
    systemctl disable --quiet gdwatch.service 2>/dev/null || true
    rm -f "$units/gdwatch.service" "$units/gdwatch@.service" /usr/local/bin/gdwatch \
        /etc/sysusers.d/gdwatch.conf /etc/tmpfiles.d/gdwatch.conf
    rm -rf "$program"
    systemctl daemon-reload
    echo "gdwatch is gone; left as they are: /etc/gdwatch, drop-ins, /var/lib/gdwatch*, the user gdwatch"
    exit 0
fi

if [ -n "$group" ]; then
    getent group "$group" >/dev/null || fail "group $group: no such group; make it: groupadd $group"
    command -v setfacl >/dev/null || fail "setfacl: not installed; install the package acl"
fi

before=$(running)
for unit in $before; do systemctl stop "$unit"; done
[ -x "$program/bin/python" ] || "$python" -m venv "$program"
"$program/bin/pip" install --constraint "$here/constraints.txt" "$here"
install -D -m 644 -t "$program/share/doc/gdwatch" "$here"/README.md "$here"/CHANGELOG.md "$here"/docs/*.md
ln -sf "$program/bin/gdwatch" /usr/local/bin/gdwatch

install -D -m 644 "$here/deploy/gdwatch.sysusers" /etc/sysusers.d/gdwatch.conf
install -D -m 644 "$here/deploy/gdwatch.tmpfiles" /etc/tmpfiles.d/gdwatch.conf
install -m 644 -t "$units" "$here/deploy/gdwatch.service" "$here/deploy/gdwatch@.service"
systemd-sysusers gdwatch.conf
systemd-tmpfiles --create gdwatch.conf
[ -e /etc/gdwatch/gdwatch.toml ] || install -m 644 -t /etc/gdwatch "$here/deploy/gdwatch.toml"
if [ -n "$group" ]; then
    mkdir -p "$units/gdwatch.service.d"
    sed "s/--group photos/--group $group/" "$here/deploy/gdwatch.service.d/group.conf" \
        >"$units/gdwatch.service.d/group.conf"
fi

systemctl daemon-reload
# A ledger of an earlier version is upgraded by the user whose it is.
[ ! -d /var/lib/gdwatch/.gdwatch ] || before="gdwatch.service $before"
for unit in $before; do
    name=${unit%.service}
    runuser -u gdwatch -- "$program/bin/gdwatch" db upgrade --config "/etc/gdwatch/${name#gdwatch@}.toml"
done
systemctl enable --quiet gdwatch.service
for unit in gdwatch.service $before; do systemctl start "$unit"; done
echo "gdwatch runs; \`gdwatch status\` says how it does, \`sudo gdwatch doctor\` what is wrong"
