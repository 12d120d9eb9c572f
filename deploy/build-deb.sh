#!/bin/sh
# Builds a Debian package of gdwatch with all Python packages that it needs, in /opt/gdwatch, for the
# Python that built it: call it on the release of Debian that it is for. `make deb`.
set -eu

python=${PYTHON:-/usr/bin/python3}
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out=${1:-$here/dist}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$here/gdwatch/__init__.py")
needs=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
program=$stage/opt/gdwatch

"$python" -m venv "$program"
"$program/bin/pip" install --no-compile --constraint "$here/constraints.txt" "$here"
# Of the environment only what runs gdwatch, and that under its name at home.
find "$program/bin" -mindepth 1 ! -name 'python*' ! -name gdwatch ! -name gdtrain -delete
rm -rf "$program"/lib/python3*/site-packages/pip "$program"/lib/python3*/site-packages/pip-*
sed -i "s|$stage||g" "$program/pyvenv.cfg" "$program/bin/gdwatch" "$program/bin/gdtrain"
find "$program" -name __pycache__ -prune -exec rm -rf {} +
"$python" -m compileall -q -s "$stage" -p / "$program/lib" || true # some packages have files for others

install -D -m 644 -t "$stage/usr/share/doc/gdwatch" "$here"/*.md "$here"/docs/*.md "$here/LICENSE"
install -D -m 644 -t "$stage/usr/share/doc/gdwatch/examples" "$here"/deploy/gdwatch.service.d/*.conf
install -D -m 644 -t "$program/share/doc/gdwatch" "$here/docs/operate.md"
install -D -m 644 -t "$stage/lib/systemd/system" \
    "$here/deploy/gdwatch.service" "$here/deploy/gdwatch@.service"
install -D -m 644 "$here/deploy/gdwatch.sysusers" "$stage/usr/lib/sysusers.d/gdwatch.conf"
install -D -m 644 "$here/deploy/gdwatch.tmpfiles" "$stage/usr/lib/tmpfiles.d/gdwatch.conf"
install -D -m 644 -t "$stage/etc/gdwatch" "$here/deploy/gdwatch.toml"
install -d "$stage/usr/bin"
ln -s /opt/gdwatch/bin/gdwatch "$stage/usr/bin/gdwatch"

install -d "$stage/DEBIAN"
install -m 755 -t "$stage/DEBIAN" "$here"/deploy/debian/postinst "$here"/deploy/debian/prerm \
    "$here"/deploy/debian/postrm
echo /etc/gdwatch/gdwatch.toml >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: gdwatch
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: The gdwatch maintainers <gdwatch@localhost>
Installed-Size: $(du -sk "$stage" | cut -f1)
Depends: $needs, systemd, acl
Section: graphics
Priority: optional
Description: sorts photographs of faces, every decision in a SQL database
 gdwatch watches an inbox folder, classifies each face as female or male with a
 convolutional neural network, and moves the file to its folder.
CONTROL
mkdir -p "$out"
dpkg-deb --build --root-owner-group -Zzstd -z3 "$stage" "$out"
