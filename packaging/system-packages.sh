#!/usr/bin/env bash
# Make sure the Debian packages that `make demo` or `make test` needs are here: install them when root, else say what to install.
set -euo pipefail

purpose=${1:?usage: system-packages.sh demo|test}
missing=()

# fc-list is not always installed, so fonts are looked for as files
have_fonts() { compgen -G '/usr/share/fonts/opentype/noto/NotoSansCJK-*.ttc' >/dev/null; }
have_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null; }
have_chinese() { tesseract --list-langs 2>/dev/null | grep -qx chi_sim; }

have_fonts || missing+=(fonts-noto-cjk)
command -v tesseract >/dev/null || missing+=(tesseract-ocr)
have_chinese || missing+=(tesseract-ocr-chi-sim)
if [ "$purpose" = test ]; then
    command -v chromium >/dev/null || missing+=(chromium)
    command -v openssl >/dev/null || missing+=(openssl) # a time stamp service
    command -v g++ >/dev/null || missing+=(g++) # torch.compile on the CPU
    have_postgresql || missing+=(postgresql)
    command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || missing+=(mariadb-server)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${missing[*]} ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    exit 0
fi
echo "Missing system packages: run  sudo apt-get install -y ${missing[*]}  and try again." >&2
exit 1
